/** Prints the option of Node that preloads without-loader.ts. A URL has no spaces, so it can stand in NODE_OPTIONS wherever the tree is. */

console.log(`--import=${new URL('without-loader.js', import.meta.url).href}`);
