/** One request through a router, and what came of it: for the tests of the router, which know no connection. */

import type { HttpRequest, ResponseWriter, Returned } from '../../../http/handler.ts';

/** Anything with a handler: a Router whatever its params. */
interface Routed {
  readonly handle: (request: HttpRequest, response: ResponseWriter) => Returned;
}

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: string | null;
  /** What the router has handed to `fail`. */
  failure?: unknown;
}

/** The answer is filled in as it is written; `returned` is what the handler returned. */
export function ask(router: Routed, method: string, path: string): Answer & { returned: Returned } {
  const { request, response, answer } = exchange(method, path);
  const returned = router.handle(request, response);
  return Object.assign(answer, { returned });
}

export function exchange(method: string, path: string) {
  const answer: Answer = { status: 200, headers: {}, body: null };
  const response = {
    get hasBegun() {
      return answer.body !== null;
    },
    status(code: number) {
      answer.status = code;
      return response;
    },
    header(name: string, value: string) {
      answer.headers[name] = value;
      return response;
    },
    text(body: string) {
      answer.body = body;
    },
    empty() {
      answer.body = '';
    },
    restart() {
      answer.headers = {};
    },
    json(value: unknown) {
      answer.body = JSON.stringify(value);
    },
    fail(error: unknown) {
      answer.failure = error;
    },
  };
  return {
    answer,
    request: { method, path, params: {}, headers: new Headers() } as unknown as HttpRequest,
    response: response as unknown as ResponseWriter,
  };
}
