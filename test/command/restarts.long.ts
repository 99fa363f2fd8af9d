/** Restarts under load lose no request: a second process takes over, and workers are replaced. `RESTARTS=100` does more of them. */

import { test } from 'tap';
import { restartUnderLoad, type Way } from './restarts.ts';

const restarts = Number(process.env.RESTARTS ?? 4);

for (const way of ['take-over', 'workers'] as const satisfies readonly Way[]) {
  test(`${restarts} restarts by ${way}`, async (t) => {
    const { requests, retried, failures, ...report } = await restartUnderLoad(restarts, way);
    t.same(failures, []);
    t.equal(report.restarts, restarts);
    t.comment(`${requests} requests, ${retried} were asked again`);
    t.ok(requests > 0);
  });
}
