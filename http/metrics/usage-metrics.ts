/**
 * UsageMetrics: what the process takes, by the names that every client library of Prometheus uses for it.
 *
 * Next: protocol-metrics.ts
 */

import { readdirSync } from 'node:fs';
import type { MetricFamily } from './metric-families.ts';

const MICROSECONDS = 1e6;
const MS = 1_000;

function gauge(name: string, help: string, value: number): MetricFamily {
  return { name, help, type: 'gauge', samples: [{ labels: {}, value }] };
}

export function usageMetrics(): MetricFamily[] {
  const { user, system } = process.cpuUsage();
  const { rss, heapUsed, external } = process.memoryUsage();
  return [
    {
      name: 'process_cpu_seconds_total',
      help: 'Processor time, of the program and of the kernel for it.',
      type: 'counter',
      samples: [{ labels: {}, value: (user + system) / MICROSECONDS }],
    },
    gauge('process_resident_memory_bytes', 'Memory that is in RAM.', rss),
    gauge('process_open_fds', 'Open descriptors.', readdirSync('/proc/self/fd').length - 1), // without that of this call
    {
      ...gauge('process_start_time_seconds', 'When the process began.', performance.timeOrigin / MS),
      together: 'least',
    } as MetricFamily,
    gauge('nodejs_heap_used_bytes', 'Memory of JavaScript objects.', heapUsed),
    gauge('nodejs_external_memory_bytes', 'Memory of buffers and of C++ objects.', external),
  ];
}
