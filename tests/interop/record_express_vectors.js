// Records what express-session and its stores do, for the tests to compare with where there is no Node:
//
//     make vectors        writes express_vectors.json beside this file; run twice, it writes the same
//
// It holds, a line each:
//     cookies    a secret, an id, and the cookie's value
//     headers    a Cookie header, and the id that express-session looks for; its secrets are the second and third of SECRETS
//     strange    a record that somebody else has put there: what Express makes of it, and what it writes after a change
//     csurf      a secret, a token, and whether it passes
//     scripts    options of express-session, and requests, each with the time in ms, its calls and results, its Set-Cookie
//                lines, what the store asked of its server, and the records that were there in the end
//
// Everything is driven through Express by requests to a real server. The stores are the real ones; their clients keep
// what they are asked to do, and answer as a server would. Time and randomness are given.
'use strict';

const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');

// ------------------------------------------------------------ the same each time, and set before any package is loaded

const START = 1700000000123;
let now = START;
let drawn = 0;

class FixedDate extends Date {
  constructor(...args) {
    super(...(args.length ? args : [now]));
  }

  static now() {
    return now;
  }
}
global.Date = FixedDate;
Math.random = () => (drawn = (drawn * 16807 + 11) % 2147483647) / 2147483647;
crypto.randomBytes = (size, callback) => {
  const bytes = Buffer.from(Array.from({ length: size }, () => Math.floor(Math.random() * 256)));
  return callback ? callback(null, bytes) : bytes;
};
process.removeAllListeners('warning');
process.on('warning', () => {});
process.env.NO_DEPRECATION = 'express-session';
process.env.NODE_ENV = 'test';

const session = require('express-session');
const signature = require('express-session/node_modules/cookie-signature');
const Tokens = require('csrf');

const application = require('./express_door');

const SECRETS = ['x', 'Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD', 'ein Geheimnis mit Umläuten äöü ☃ 😀', 'a'.repeat(200)];
const SECRET = SECRETS[1];
const IDS = ['A'.repeat(32), 'kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD', '3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'a.b.c', 'a+b/c=', "it's~(me)*!", 'with space', 'ünï', '😀', '0'];

// ------------------------------------------------------------ the stores

const copy = (value) => JSON.parse(JSON.stringify(value));

function openFile() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'vectors-'));
  const store = new (require('session-file-store')(session))({ path: folder, reapInterval: -1, retries: 0, logFn: () => {} });
  const records = () => Object.fromEntries(fs.readdirSync(folder).sort().map((name) => [name, fs.readFileSync(path.join(folder, name), 'utf8')]));
  return { store, asked: () => [], records, close: () => fs.rmSync(folder, { recursive: true }) };
}

function openRedis() {
  const { RedisStore } = require('connect-redis');
  const keys = {};
  let asked = [];
  const client = {
    get: async (key) => { asked.push(['GET', key]); return keys[key]; },
    set: async (key, value, { expiration: { type, value: ttl } }) => { asked.push(['SET', key, value, type, ttl]); keys[key] = value; },
    expire: async (key, ttl) => { asked.push(['EXPIRE', key, ttl]); },
    del: async ([key]) => { asked.push(['DEL', key]); delete keys[key]; },
  };
  return { store: new RedisStore({ client }), asked: () => asked.splice(0), records: () => ({ ...keys }), close: () => {} };
}

function openPostgresql() {
  const rows = {};
  let asked = [];
  const pool = {
    async query(text, params) {
      const values = params.map((value) => (typeof value === 'object' ? JSON.stringify(value) : value)); // as pg does
      asked.push([text, ...values]);
      if (text.startsWith('SELECT')) return { rows: rows[values[0]] ? [{ sess: JSON.parse(rows[values[0]].sess) }] : [] };
      if (text.startsWith('INSERT')) rows[values[2]] = { sess: values[0], expire: values[1] };
      if (text.startsWith('UPDATE')) rows[values[1]].expire = values[0];
      if (text.startsWith('DELETE')) delete rows[values[0]];
      return { rows: [] };
    },
  };
  const store = new (require('connect-pg-simple')(session))({ pool, pruneSessionInterval: false });
  return { store, asked: () => asked.splice(0), records: () => copy(rows), close: () => store.close() };
}

function openMongo(stringify) {
  const { MongoStore } = require('connect-mongo');
  const documents = {};
  let asked = [];
  // Extended JSON, in which a date can be told from a text.
  const plain = (value) => {
    if (value instanceof Date) return { $date: value.toISOString() };
    if (Array.isArray(value)) return value.map(plain);
    if (value && typeof value === 'object') return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, each === undefined ? null : plain(each)]));
    return value;
  };
  const collection = {
    createIndex: async () => {},
    findOne: async (filter) => { asked.push(['findOne', plain(filter)]); return documents[filter._id] && structuredClone(documents[filter._id]); },
    updateOne: async (filter, { $set }, { upsert }) => {
      asked.push(['updateOne', plain(filter), plain({ $set }), { upsert: Boolean(upsert) }]);
      const is = filter._id in documents;
      if (is || upsert) documents[filter._id] = { ...documents[filter._id], ...$set };
      return { upsertedCount: is ? 0 : 1, matchedCount: is ? 1 : 0 };
    },
    deleteOne: async (filter) => { asked.push(['deleteOne', plain(filter)]); delete documents[filter._id]; },
  };
  const store = MongoStore.create({ client: { db: () => ({ collection: () => collection }) }, stringify });
  return { store, asked: () => asked.splice(0), records: () => plain(documents), close: () => {} };
}

const STORES = { file: openFile, redis: openRedis, postgresql: openPostgresql, mongodb: () => openMongo(true), 'mongodb-documents': () => openMongo(false) };

// ------------------------------------------------------------ requests

async function serve(config, store) {
  now = START;
  drawn = 0;
  const app = application({ express: 4, genid: IDS, ...config, options: { secret: SECRET, ...config.options } }, store);
  const server = await new Promise((resolve) => {
    const starting = app.listen(0, '127.0.0.1', () => resolve(starting));
  });
  const visit = (calls, headers) => new Promise((done, failed) => {
    const request = http.request({ port: server.address().port, method: 'POST', headers, agent: false }, (response) => {
      const chunks = [];
      response.on('data', (chunk) => chunks.push(chunk));
      response.on('end', () => done({
        status: response.statusCode,
        body: Buffer.concat(chunks).toString(),
        cookies: response.headers['set-cookie'] ?? [],
      }));
    });
    request.on('error', failed);
    request.end(JSON.stringify(calls));
  });
  return { visit, close: () => server.close() };
}

// A script is the options of express-session, and a list of requests, each a list of calls: see express_door.js. Each has
// the cookie of the one before, and comes 1.5 s later.
const VALUES = { text: 'ü ☃ 😀 \u2028 "\\/\b\f\n\r\t\u0000\u001f\u007f', numbers: [0, 1.5, 1e21, 1e-7, 2 ** 53 - 1], nothing: [null, false, '', [], {}], lone: '\ud83d' };
const READ = [['get', 'a']];
const SCRIPTS = {
  values: [{}, [[['set', 'a', 1]], [...READ, ['set', 'values', VALUES]], READ, [['forget', 'a']]]],
  nested: [{}, [[['set', 'deep.a.b', { c: [1, { d: null }] }]], [['set', 'deep.a.ü', 2]], [['push', 'deeper', { __proto__x: 1 }]]]],
  big: [{}, [[['set', 'a', 'ü'.repeat(100)], ['set', 'b', Array.from({ length: 50 }, (_, index) => index)]], READ]],
  empty: [{}, [[], READ]],
  emptySaved: [{ saveUninitialized: true }, [[], READ]],
  resave: [{ resave: true }, [[['set', 'a', 1]], READ]],
  maxAge: [{ cookie: { maxAge: 600500 } }, [[['set', 'a', 1]], READ, [['set', 'a', 2]]]],
  rolling: [{ cookie: { maxAge: 600500 }, rolling: true }, [[['set', 'a', 1]], READ]],
  expires: [{ cookie: { expires: '2023-11-15T00:00:00.500Z' } }, [[['set', 'a', 1]], READ, [['set', 'a', 2]]]],
  attributes: [{ name: 'other', cookie: { domain: 'example.org', path: '/', sameSite: 'lax', httpOnly: false, partitioned: true, priority: 'high' } }, [[['set', 'a', 1]], READ]],
  strict: [{ cookie: { sameSite: true } }, [[['set', 'a', 1]]]],
  secureAuto: [{ cookie: { secure: 'auto', sameSite: 'auto', maxAge: 600500 }, proxy: true }, [[['set', 'a', 1]], [['set', 'a', 2]]]],
  secureAutoHttps: [{ cookie: { secure: 'auto', sameSite: 'auto', maxAge: 600500 }, proxy: true }, [[['set', 'a', 1]], [['set', 'a', 2]]], { 'X-Forwarded-Proto': 'https' }],
  ownMaxAge: [{}, [[['set', 'a', 1], ['maxAge', 60000]], READ, [['maxAge', 90000]], [['cookie']], [['maxAge', 90000], ['save']], [['cookie']]]],
  endless: [{ cookie: { maxAge: 60000 } }, [[['set', 'a', 1], ['setCookie', 'expires', false]], READ]],
  flash: [{}, [[['flash', 'info', 'Saved.'], ['flash', 'error', ['one', { two: 'ü' }]]], [['flash', 'info']], [['flash', 'info'], ['flash']], [['flash', 'info', 'again']]]],
  passport: [{}, [[['set', 'a', 1]], [['login', 'ann', 'password of ann']], [['user'], ['set', 'cart', 1]], [['logout']], [['user']]]],
  passportZero: [{}, [[['login', 'zero', 'password of zero']], [['user']]]],
  passportObject: [{}, [[['login', 'carl', 'password of carl']], [['user']]]],
  csurf: [{}, [[['csurfToken']], [['csurfToken'], ['csurfVerify', 'no token']]]],
  csrfSync: [{}, [[['csrfSyncToken']], [['csrfSyncToken'], ['csrfSyncVerify', 'no token']]]],
  regenerate: [{}, [[['set', 'a', 1]], [['regenerate'], ['set', 'b', 2]], [['all']]]],
  destroy: [{}, [[['set', 'a', 1]], [['destroy']], READ, [['set', 'a', 2]]]],
  unset: [{}, [[['set', 'a', 1]], [['set', 'a', 2], ['unset']], READ]],
  unsetDestroys: [{ unset: 'destroy' }, [[['set', 'a', 1]], [['unset']], READ]],
};

async function record(name, of) {
  const [options, requests, headers] = SCRIPTS[name];
  const opened = STORES[of]();
  const server = await serve({ options }, opened.store);
  let cookie;
  const done = [];
  for (const calls of requests) {
    const { body, cookies } = await server.visit(calls, { ...headers, ...(cookie && { Cookie: cookie }) });
    if (cookies.length) cookie = cookies[0].split(';')[0];
    done.push({ now, calls, results: JSON.parse(body), cookies, asked: opened.asked(), records: opened.records() });
    now += 1500;
  }
  server.close();
  opened.close();
  return { name, store: of, options, headers, requests: done };
}

// ------------------------------------------------------------ cookies, strange records, tokens

const value = (id, secret) => encodeURIComponent('s:' + signature.sign(id, secret));

/** For each Cookie header, the id that is looked for in the store, if any. */
async function recordHeaders() {
  const good = value(IDS[0], SECRET);
  const second = value(IDS[1], SECRETS[2]);
  const signed = decodeURIComponent(good);
  const odd = IDS.map((id) => `connect.sid=${value(id, SECRET)}`);
  const headers = [
    ...odd, `connect.sid=${second}`, `connect.sid="${good}"`, `connect.sid=${signed}`, `a=b; connect.sid=${good}`, `connect.sid=${good}; connect.sid=bad`,
    `connect.sid=bad; connect.sid=${good}`, `connect.sid=${good.toLowerCase()}`, `connect.sid=${good.replace(/%../g, (each) => each.toLowerCase())}`,
    `connect.sid=${good}%3D`, `connect.sid=${good.slice(0, -1)}`, `connect.sid=${good.slice(4)}`, `connect.sid=s%3A${IDS[0]}`, `connect.sid=${IDS[0]}`,
    `connect.sid=${value(IDS[0], 'another')}`, `connect.sid=${value('', SECRET)}`, 'connect.sid=', 'connect.sid', `connect.sid = ${good} `, `connect.sid=${good}%`,
    `connect.sid=%${good}`, `Connect.sid=${good}`, `connect.sid=j%3A${good.slice(4)}`,
  ];
  const store = new session.MemoryStore();
  let found = null;
  store.get = (id, callback) => { found = id; callback(); };
  const server = await serve({ genid: Array(headers.length).fill('fresh'), options: { secret: [SECRET, SECRETS[2]] } }, store);
  const recorded = [];
  for (const header of headers) {
    found = null;
    await server.visit([], { Cookie: header });
    recorded.push({ header, id: found });
  }
  server.close();
  return recorded;
}

const COOKIE = '{"originalMaxAge":null,"expires":null,"httpOnly":true,"path":"/"}';
const STRANGE = [
  '{"a":1}', '{"cookie":null,"a":1}', '{"cookie":"x","a":1}', '{"cookie":"","a":1}', '{"cookie":5,"a":1}', '{"cookie":[1],"a":1}', '{"cookie":{},"a":1}', '[1]', '5', '"x"',
  '{"cookie":{"originalMaxAge":60000},"a":1}', '{"cookie":{"originalMaxAge":null,"expires":"garbage","path":"/"},"a":1}', '{"cookie":{"originalMaxAge":60000,"expires":"garbage"},"a":1}',
  '{"cookie":{"originalMaxAge":false,"expires":false,"path":"/"},"a":1}', '{"cookie":{"originalMaxAge":null,"expires":"2030-01-01T00:00:00.000Z","path":"/"},"a":1}',
  '{"cookie":{"originalMaxAge":0,"expires":null},"a":1}', '{"cookie":{"originalMaxAge":59999.5,"expires":null},"a":1}', '{"cookie":{"originalMaxAge":-5,"expires":null},"a":1}',
  '{"cookie":{"maxAge":60000},"a":1}', '{"cookie":{"maxAge":"60000"},"a":1}', `{"cookie":${COOKIE.replace('}', ',"more":1,"data":2}')},"a":1}`, `{"cookie":${COOKIE.replace('}', ',"secure":null,"domain":null,"sameSite":false}')},"a":1}`,
  '{"cookie":{"originalMaxAge":null,"toJSON":1,"path":"/"},"a":1}', `{"a":1,"cookie":${COOKIE},"b":2}`, ` { "cookie" : ${COOKIE} , "a" : 1.0 } `, `{"cookie":${COOKIE},"a":1,"a":2}`,
  `{"cookie":${COOKIE},"__proto__":{"x":1},"constructor":1,"id":2,"req":3,"save":4,"toString":5,"a":1,"n":{"__proto__":{"y":1}}}`, `{"cookie":${COOKIE},"a":12345678901234567890}`,
  `{"cookie":${COOKIE},"a":"\\ud83d\\u0000"}`, `{"cookie":${COOKIE},"10":1,"9":2,"a":3}`, `{"cookie":${COOKIE},"flash":[],"passport":{}}`,
];

/** What Express makes of a record that somebody else has put there, and what it writes after a change. */
async function recordStrange() {
  const recorded = [];
  for (const text of STRANGE) {
    const store = new session.MemoryStore();
    store.sessions[IDS[0]] = text;
    const server = await serve({ options: {} }, store);
    const { status, body, cookies } = await server.visit([['all'], ['set', 'z', 1]], { Cookie: `connect.sid=${value(IDS[0], SECRET)}` });
    recorded.push({ now, text, status, content: status === 200 ? JSON.parse(body)[0] : null, cookies, written: status === 200 ? store.sessions[IDS[0]] : null });
    server.close();
  }
  return recorded;
}

function recordTokens() {
  const tokens = new Tokens();
  const made = [];
  for (const secret of ['abc', 'i6Tphf5LkSQy8AH_odepR7ge', 'a-b', 'ünï€😀', ' ']) {
    for (const salt of ['saltsalt', 'x', '', 'ü€']) made.push({ secret, token: tokens._tokenize(secret, salt) });
  }
  const { secret, token } = made[4];
  const bad = ['', '-', 'x', token.slice(0, -1), `${token}=`, ` ${token}`, token.replace('-', '_'), `x${token}`, token.toUpperCase(), made[0].token];
  return [...made, ...bad.map((each) => ({ secret, token: each }))].map((each) => ({ ...each, passes: tokens.verify(each.secret, each.token) }));
}

async function main() {
  const cookies = SECRETS.flatMap((secret) => IDS.map((id) => ({ secret, id, value: value(id, secret) })));
  const scripts = [];
  for (const name of Object.keys(SCRIPTS)) {
    for (const store of Object.keys(STORES)) scripts.push(await record(name, store));
  }
  const vectors = { cookies, headers: await recordHeaders(), strange: await recordStrange(), csurf: recordTokens(), scripts };
  const one = (each) => `  ${JSON.stringify(each)}`;
  const lists = Object.entries(vectors).map(([name, list]) => ` "${name}": [\n${list.map(one).join(',\n')}\n ]`);
  fs.writeFileSync(process.argv[2] ?? path.join(__dirname, 'express_vectors.json'), `{\n${lists.join(',\n')}\n}\n`);
}

main();
