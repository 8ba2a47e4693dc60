// Records what the npm original does, for the tests to compare with where there is no Node:
//
//     make vectors        writes vectors.json beside this file; run twice, it writes the same
//
// Everything is driven through the original's own modules: cookies and files by a request to a real server.
'use strict';

const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');

const NodeSession = require('node-session');
const Encrypter = require('encrypter');

process.removeAllListeners('warning');
process.on('warning', () => {});

const TOKEN = 'the-token';
const SECRETS = ['x', 'Q3UBzdH9GEfiRCTKbi5MTPyChpzXLsTD', 'ein Geheimnis mit Umläuten äöü ☃ 😀', 'a'.repeat(200)];
const IDS = ['A'.repeat(40), '0123456789abcdefghijklmnopqrstuvwxyzABCD', '_-'.repeat(20), 'kR7hZ-2m_Qw8vB5nX1cT4yU6iO9pL3sD0fG7jHaE'];
const TEXTS = ['hello', '', '{}', '{"_token":"t","flash":{"old":[],"new":[]}}', 'äöü ☃ 😀', 'x'.repeat(1000), '\u0000\u001f"\\'];

const NUMBERS = [
  0, -0, 1, -1, 1.5, 0.1, 0.1 + 0.2, 1e-5, 1e-6, 1.5e-6, 1e-7, 5e-324, 1e15, 1e16, 123456789012345680000, 1e20, 1e21, 1.5e300,
  1.7976931348623157e308, 4.35, 100, 123.456, -2.5e-9, 9007199254740991,
];
const STRINGS = ['', 'é', '"\\/\b\f\n\r\t', '\u0000\u001f\u007f', '\u2028\u2029', '😀', '\ud83d', '\ude00\ud83d', '<script>', '1.0e+16'];

// Each script is a list of requests, a request a list of calls. Every request has the cookie of the one before.
const SCRIPTS = {
  untouched: [[], []],
  values: [[['put', 'a', 1], ['put', { b: [1, { c: null }], 'd.e': 'x' }], ['set', 'f.g.h', true]], [['get', 'd.e'], ['get', 'b[1].c', 'default'], ['has', 'f.g'], ['has', 'b[1].c'], ['get', 'no.where', 'default']]],
  paths: [[['put', 'list', [1, [2, 3]]], ['put', 'map', { 'b-c': 1 }]], [['get', 'list[1][0]'], ['get', 'map["b-c"]'], ['set', 'map["b-c"]', 2], ['get', 'list[0]'], ['get', 'list[7]', 'none']]],
  push: [[['push', 'user.teams', 'developers'], ['push', 'user.teams', 'testers']], [['push', 'user.teams', { x: 1 }], ['get', 'user.teams']]],
  pull: [[['put', 'key', 'value']], [['pull', 'key'], ['pull', 'key', 'default'], ['pull', 'key']], [['forget', 'nothing'], ['get', 'key']]],
  flash: [[['flash', 'status', 'Saved.'], ['flash', 'more', [1]]], [['get', 'status']], [['get', 'status']]],
  flashTwice: [[['flash', 'a', 1], ['flash', 'a', 2]], [['flash', 'a', 3]], [['get', 'a']], [['get', 'a']]],
  reflash: [[['flash', 'a', 1], ['flash', 'b', 2]], [['reflash']], [['keep', 'a']], [['get', 'a'], ['get', 'b']], []],
  keep: [[['flash', 'a', 1], ['flash', 'b', 2], ['flash', 'c', 3]], [['keep', 'a', 'b']], [['keep', ['a']]], [['get', 'a'], ['get', 'b']]],
  flashInput: [[['flashInput', { name: 'Ann' }]], [['get', '_old_input']], []],
  flush: [[['put', 'a', 1]], [['flush'], ['all']]],
  regenerate: [[['put', 'a', 1]], [['regenerate'], ['get', 'a']], [['regenerate', true], ['get', 'a']], [['migrate'], ['all']]],
  unicode: [[['put', 'ü', '☃ 😀 \u2028'], ['put', 'lone', '\ud83d']], [['get', 'ü'], ['get', 'lone']]],
  numbers: [[['put', 'n', NUMBERS]], [['get', 'n']]],
};

function startServer(options) {
  const sessions = new NodeSession(options);
  let calls = [];
  const server = http.createServer((request, response) => {
    sessions.startSession(request, response, () => {
      const session = request.session;
      if (!request.headers.cookie) session.put('_token', TOKEN); // the only random thing in a record
      const results = calls.map(([method, ...args]) => {
        const result = session[method](...args);
        return result === undefined ? null : result;
      });
      response.end(JSON.stringify(results));
    });
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve({
    server,
    visit: (script, cookie) => new Promise((done, failed) => {
      calls = script;
      const headers = cookie ? { Cookie: cookie } : {};
      http.get({ port: server.address().port, headers, agent: false }, (response) => {
        const chunks = [];
        response.on('data', (chunk) => chunks.push(chunk));
        response.on('end', () => done({
          results: JSON.parse(Buffer.concat(chunks).toString()),
          cookie: response.headers['set-cookie'][0].split(';')[0],
          line: response.headers['set-cookie'][0],
        }));
      }).on('error', failed);
    }),
  })));
}

async function record(name, script, encrypt) {
  const files = fs.mkdtempSync(path.join(os.tmpdir(), 'vectors-'));
  const { server, visit } = await startServer({ secret: SECRETS[1], files, encrypt, lottery: [0, 100] });
  const requests = [];
  let cookie;
  for (const calls of script) {
    const visited = await visit(calls, cookie);
    cookie = visited.cookie;
    const id = decodeURIComponent(cookie.split('=')[1]).slice(2, 42);
    requests.push({ calls, results: visited.results, stored: fs.readFileSync(path.join(files, id), 'utf8') });
  }
  server.close();
  fs.rmSync(files, { recursive: true });
  return { name, encrypt, requests };
}

async function recordCookies() {
  const cookies = [];
  const signature = require('cookie-signature');
  for (const secret of SECRETS) {
    for (const id of IDS) cookies.push({ secret, id, value: encodeURIComponent('s:' + signature.sign(id, secret)) });
  }
  return cookies;
}

async function recordAttributes() {
  const lines = [];
  const variants = [{}, { lifetime: 1000 }, { expireOnClose: true }, { lifetime: 0 }, { domain: 'example.org', path: '/app' }, { httpOnly: false }, { cookie: 'other' }];
  for (const options of variants) {
    const files = fs.mkdtempSync(path.join(os.tmpdir(), 'vectors-'));
    const { server, visit } = await startServer({ secret: SECRETS[1], files, ...options });
    const { line } = await visit([]);
    server.close();
    fs.rmSync(files, { recursive: true });
    lines.push({ options, line: line.replace(/=s%3A[^;]*/, '=VALUE').replace(/Expires=[^;]*/, 'Expires=DATE') });
  }
  return lines;
}

async function main() {
  const encrypted = [];
  for (const secret of SECRETS) {
    const encrypter = new Encrypter(secret);
    for (const text of TEXTS) encrypted.push({ secret, text, encrypted: encrypter.encrypt(text) });
  }
  const json = [...NUMBERS, ...STRINGS].map((value) => ({ value: JSON.stringify({ value }) }));
  const dates = [0, 1, 1700000000123, -1, 253402300799999].map((ms) => ({ ms, text: JSON.stringify(new Date(ms)) }));
  const scripts = [];
  for (const [name, script] of Object.entries(SCRIPTS)) {
    for (const encrypt of [false, true]) scripts.push(await record(name, script, encrypt));
  }
  const vectors = { cookies: await recordCookies(), attributes: await recordAttributes(), encrypted, json, dates, scripts };
  fs.writeFileSync(path.join(__dirname, 'vectors.json'), JSON.stringify(vectors, null, 1) + '\n');
}

main();
