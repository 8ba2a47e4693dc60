// The store of connect-mongo by itself: each line of the input is a call, ["set", "an id", {…}], and each line of the
// output its result. The first argument is the config, {"mongoUrl": …, …}. A cookie's `expires` becomes a date, as
// express-session makes it one.
'use strict';

const readline = require('readline');

const connectMongo = require('connect-mongo');
const { Cookie } = require('express-session');

const Store = connectMongo.default ?? connectMongo;
const store = Store.create(JSON.parse(process.argv[2]));

function revived(value) {
  if (!value?.cookie) return value;
  const cookie = new Cookie(value.cookie);
  if (value.cookie.expires) cookie.expires = new Date(value.cookie.expires);
  cookie.originalMaxAge = value.cookie.originalMaxAge ?? null;
  const dates = (value.dates ?? []).map((each) => new Date(each));
  return { ...value, cookie, ...(value.dates ? { dates } : {}) };
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, ...args] = JSON.parse(line);
    const answer = await new Promise((resolve) => {
      store[name](...args.map(revived), (error, result) => {
        resolve(error ? { error: String(error) } : { result: result ?? null });
      });
    });
    console.log(JSON.stringify(answer));
  }
  await store.close();
}

main();
