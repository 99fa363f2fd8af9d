import { test } from 'tap';
import { preventTransfer } from '../../../simplenet/kernel/intrinsic-bytes.ts';
import { importing, runProgram } from '../../support/child-program.ts';

test('memory that is in use cannot be transferred', async (t) => {
  const memory = new ArrayBuffer(8);
  preventTransfer(memory);
  preventTransfer(memory);
  const { port1, port2 } = new MessageChannel();
  try {
    port1.postMessage(memory, [memory]); // Node 20 sends a copy, and later ones throw
  } catch {}
  t.equal(memory.byteLength, 8);
  port1.close();
  port2.close();
});

test('a process with memory of an add-on ends as any other', async (t) => {
  const { status, signal, stderr } = runProgram(`
    ${importing('koffi', 'kernel/ffi.js')}
    ${importing('preventTransfer', 'kernel/intrinsic-bytes.js')}
    const malloc = koffi.load(null).func('void *malloc(size_t size)');
    globalThis.memory = koffi.view(koffi.address(malloc(100)), 100);
    preventTransfer(globalThis.memory);
  `);
  t.same([status, signal, stderr], [0, null, '']);
});
