// An Express application behind a door like that of door.js: a request's body is a list of calls on its session,
// [["set", "cart.tea", 2], ["get", "cart"]], the answer the list of their results. The config is the first argument:
//
//     {express: 4 | 5, store: …, see express_stores.js, options: {secret, cookie, … of express-session},
//      genid: "uuid" | [ids to give]}
//
// Beside the door: GET and POST /csurf and /csrf-sync, as forms use them.
'use strict';

const crypto = require('crypto');
const util = require('util');

util.isArray ??= Array.isArray; // gone since Node 23, and connect-flash is older

const { csrfSync } = require('csrf-sync');
const csurf = require('csurf');
const flash = require('connect-flash');
const passport = require('passport');
const session = require('express-session');
const { Strategy } = require('passport-local');

const { openStore } = require('./express_stores');

// What an application may put into a session to know a user again: text, a number, an object.
const USERS = { ann: 'ann', zero: 0, carl: { id: 7, roles: ['läser'] } };

passport.use(new Strategy((name, password, done) => {
  done(null, name in USERS && password === `password of ${name}` && { name, stored: USERS[name] });
}));
passport.serializeUser((user, done) => done(null, user.stored));
passport.deserializeUser((stored, done) => {
  const name = Object.keys(USERS).find((each) => JSON.stringify(USERS[each]) === JSON.stringify(stored));
  done(null, name === undefined ? false : { name, stored });
});

const sync = csrfSync();

/** Awaits what takes a callback of an error. */
function done(start) {
  return new Promise((resolve, reject) => start((error) => (error ? reject(error) : resolve(null))));
}

/** The container of the last name of a path, with those on the way made if `make` says so. */
function walk(root, path, make) {
  const names = path.split('.');
  const last = names.pop();
  for (const name of names) {
    if (make && !Object.hasOwn(root, name)) root[name] = {};
    root = root?.[name];
  }
  return [root, last];
}

/** Whether csurf's own middleware lets a request with this token pass. */
function passes(request, response, token) {
  return done((next) => csurf({ ignoreMethods: token === undefined ? ['POST'] : [], value: () => token })(request, response, next));
}

const CALLS = {
  // The content. `cookie` and the `__lastAccess` of files are not shown.
  all: ({ session: { cookie, __lastAccess, ...content } }) => content,
  get({ session }, path) {
    const [container, name] = walk(session, path, false);
    return container?.[name];
  },
  set({ session }, path, value) {
    const [container, name] = walk(session, path, true);
    container[name] = value;
  },
  forget({ session }, path) {
    const [container, name] = walk(session, path, false);
    if (container) delete container[name];
  },
  push({ session }, key, value) {
    (session[key] ??= []).push(value);
  },

  // The session itself.
  id: ({ sessionID }) => sessionID,
  cookie: ({ session }) => session.cookie,
  setCookie({ session }, name, value) {
    session.cookie[name] = name === 'expires' && typeof value === 'string' ? new Date(value) : value;
  },
  maxAge({ session }, ms) {
    session.cookie.maxAge = ms;
  },
  regenerate: ({ session }) => done((next) => session.regenerate(next)),
  destroy: ({ session }) => done((next) => session.destroy(next)),
  save: ({ session }) => done((next) => session.save(next)),
  reload: ({ session }) => done((next) => session.reload(next)),
  touch: ({ session }) => void session.touch(),
  unset(request) {
    request.session = null;
  },

  // What packages keep in it.
  flash: (request, ...args) => request.flash(...args),
  login: (request, username, password) => new Promise((resolve, reject) => {
    request.body = { username, password };
    passport.authenticate('local', (error, user) => {
      if (error || !user) return error ? reject(error) : resolve(false);
      request.logIn(user, (failed) => (failed ? reject(failed) : resolve(true)));
    })(request, request.res, reject);
  }),
  logout: (request) => done((next) => request.logout(next)),
  user: ({ user }) => user?.name,
  async csurfToken(request) {
    await passes(request, request.res);
    return request.csrfToken();
  },
  csurfVerify: (request, token) => passes(request, request.res, token).then(() => true, () => false),
  csrfSyncToken: (request) => sync.generateToken(request),
  csrfSyncVerify: (request, token) => sync.isRequestValid({ headers: { 'x-csrf-token': token }, session: request.session }),
};

async function answer(request, response, next) {
  try {
    const results = [];
    for (const [name, ...args] of request.calls) {
      const result = await CALLS[name](request, ...args);
      results.push(JSON.stringify(result ?? null)); // immediately: a live value may change with the next call
    }
    response.type('json').send(`[${results.join(',')}]`);
  } catch (error) {
    next(error);
  }
}

function application({ express: version, options, genid }, store) {
  const express = require(version === 5 ? 'express5' : 'express');
  const app = express();
  const given = Array.isArray(genid) ? [...genid] : null;
  const { expires } = options.cookie ?? {};
  app.use(session({
    resave: false,
    saveUninitialized: false,
    store,
    ...options,
    ...(genid && { genid: given ? () => given.shift() : () => crypto.randomUUID() }),
    cookie: { ...options.cookie, ...(expires && { expires: new Date(expires) }) },
  }));
  app.use(passport.session(), flash());
  app.post('/', express.text({ type: () => true, limit: '20mb' }), (request, response, next) => {
    request.calls = JSON.parse(request.body);
    answer(request, response, next);
  });
  const forms = express.urlencoded({ extended: false });
  for (const [path, guard] of [['/csurf', csurf()], ['/csrf-sync', sync.csrfSynchronisedProtection]]) {
    app.get(path, guard, (request, response) => response.type('text').send(request.csrfToken()));
    app.post(path, forms, guard, (request, response) => response.type('text').send('passed'));
  }
  app.use((error, request, response, next) => { // eslint-disable-line no-unused-vars
    if (response.headersSent) return next(error);
    response.status(error.status ?? 500).type('text').send(`${error.name}: ${error.message}`);
  });
  return app;
}

async function main() {
  const config = JSON.parse(process.argv[2]);
  const { store } = await openStore(config);
  const server = application(config, store).listen(0, '127.0.0.1', () => console.log(server.address().port));
  server.keepAliveTimeout = 60000;
}

if (require.main === module) main();
else module.exports = application;
