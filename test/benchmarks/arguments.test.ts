import { test } from 'tap';
import { type Choices, parseArguments, usageOf } from '../../benchmarks/arguments.ts';

const choices: Choices = {
  peers: ['simplenet', 'node', 'c'],
  defaultPeers: ['simplenet', 'node'],
  workloads: ['hello', 'post'],
  defaultWorkloads: ['post'],
  defaultReference: 'node',
};

const parse = (...args: string[]) => parseArguments(args, choices);

test('without arguments there are defaults', async (t) => {
  const options = parse();
  t.same([options.peers, options.workloads], [['simplenet', 'node'], ['post']]);
  t.same([options.rounds, options.seconds, options.load, options.micro], [10, 1, null, false]);
  t.same([options.isFresh, options.processes, options.reference], [false, 1, 'node']);
});

test('lists, all, and numbers', async (t) => {
  t.same(parse('--peers', 'c, node,c').peers, ['c', 'node']);
  t.same(parse('--peers=all', '--workload=all').workloads, ['hello', 'post']);
  t.same(parse('--rounds=3', '--seconds=0.5').seconds, 0.5);
  t.same(parse('--quick').workloads, ['hello']);
  t.equal(parse('--quick').rounds, 1);
  t.same([parse().warmUpSeconds, parse('--warm-up=7').warmUpSeconds], [2, 7]);
  t.equal(parse('--load=own').load, 'own');
  t.same([parse('--fresh').rounds, parse('--fresh').seconds], [5, 2]);
  t.equal(parse('--processes=2').processes, 2);
  t.equal(parse('--peers=c', '--reference=c').reference, 'c');
  t.equal(parse('--peers=c').reference, null);
});

test('a mistake is one sentence', async (t) => {
  t.throws(() => parse('--peers=nginx'), {
    name: 'RangeError',
    message: "--peers knows all, simplenet, node, c, but not 'nginx'",
  });
  t.throws(() => parse('--rounds=2'), { message: "--rounds is a whole number from 3 to 101, not '2'" });
  t.throws(() => parse('--rounds=3.5'), { message: "--rounds is a whole number from 3 to 101, not '3.5'" });
  t.throws(() => parse('--seconds='), { message: "--seconds is a number from 0.1 to 600, not ''" });
  t.throws(() => parse('--load=ab'), { message: "--load is uring, wrk or own, not 'ab'" });
  t.throws(() => parse('--reference=c'), { message: "--reference is one of --peers, simplenet, node, not 'c'" });
  t.throws(() => parse('--processes=0'), { message: "--processes is a whole number from 1 to 16, not '0'" });
  t.throws(() => parse('--processes=17'), { message: "--processes is a whole number from 1 to 16, not '17'" });
  t.throws(() => parse('--fresh', '--processes=2'), {
    message: '--fresh has one process at a time, so --processes has no meaning',
  });
  t.throws(() => parse('--fast'), { message: "Unknown option '--fast'" });
  t.throws(() => parse('hello'), { message: "Unexpected argument 'hello'" });
});

test('the usage names everything there is to choose', async (t) => {
  for (const name of [
    ...choices.peers,
    ...choices.workloads,
    '--quick',
    '--micro',
    '--output',
    '--reference',
    '--fresh',
    '--processes',
    '--warm-up',
    'uring',
  ]) {
    t.match(usageOf(choices), name);
  }
});
