/**
 * TraceParent: the field traceparent of W3C Trace Context (level 1, https://www.w3.org/TR/trace-context/). It says of which trace a request is a part, and which step of it has sent it.
 *
 *     traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *                  version  trace id                   parent id       flags
 *
 * Pure. A field that is wrong in any way counts as absent (section 4.3), because a trace is no reason to refuse a request.
 *
 * Next: ../handlers/trace-context.ts
 */

/** A later version may have more behind another dash; what is known of it has the same meaning. Version ff is forbidden. */
const FIELD = /^(?!ff)([\da-f]{2})-(?!0{32})([\da-f]{32})-(?!0{16})([\da-f]{16})-([\da-f]{2})(-.*)?$/;

const VERSION_0 = '00';
const SAMPLED = 0x01;

export interface TraceParent {
  readonly traceId: string;
  readonly parentId: string;
  readonly isSampled: boolean;
}

/** Returns null for a field that is absent or wrong. */
export function parseTraceParent(field: string | null): TraceParent | null {
  const [, version, traceId, parentId, flags, more] = FIELD.exec(field ?? '') ?? [];
  if (traceId === undefined || parentId === undefined || flags === undefined) return null;
  if (version === VERSION_0 && more !== undefined) return null;
  return { traceId, parentId, isSampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 };
}

export function formatTraceParent({ traceId, parentId, isSampled }: TraceParent): string {
  return `${VERSION_0}-${traceId}-${parentId}-${isSampled ? '01' : '00'}`;
}
