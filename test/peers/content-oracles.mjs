// Libraries that read the same fields as http/content/, for test/peers/content-oracles.test.ts.

export { createParser } from 'eventsource-parser';
export { default as fresh } from 'fresh';
export { default as Negotiator } from 'negotiator';
export { default as parseRange } from 'range-parser';
