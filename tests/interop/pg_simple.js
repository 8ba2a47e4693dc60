// The store of connect-pg-simple by itself: each line of the input is a call, ["set", "an id", {…}], and each line of the
// output its result. The first argument is the config, {"conObject": …, …}.
'use strict';

const readline = require('readline');

const session = require('express-session');
const Store = require('connect-pg-simple')(session);

const store = new Store({ pruneSessionInterval: false, ...JSON.parse(process.argv[2]) });

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...args] = JSON.parse(line);
    const answer = await new Promise((resolve) => {
      store[name](...args, (error, result) => resolve(error ? { error: String(error) } : { result: result ?? null }));
    });
    console.log(JSON.stringify(answer));
  }
  await store.close();
}

main();
