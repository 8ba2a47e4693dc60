// On Express: express-session with a store on each database, and a bare handler. The setup is one line of JSON on
// standard input; see ../contestants.py.
'use strict';

const { createRequire } = require('module');
const path = require('path');

const load = createRequire(path.join(__dirname, '../node_modules/'));
const express = load('express');

const setup = JSON.parse(require('fs').readFileSync(0, 'utf-8'));
const at = setup.config.connection;

process.on('warning', () => {});

// With each store's defaults, except that none deletes old sessions meanwhile.
const stores = {
  async redis() {
    const { RedisStore } = load('connect-redis');
    const client = load('redis').createClient({ socket: { host: '127.0.0.1', port: at.port }, password: at.password });
    await client.connect();
    return (session) => new RedisStore({ client });
  },
  async postgresql() {
    const { Pool } = load('pg');
    const pool = new Pool({
      host: '127.0.0.1', port: at.port, user: at.user, password: at.password, database: at.database,
    });
    return (session) => new (load('connect-pg-simple')(session))({
      pool, createTableIfMissing: true, pruneSessionInterval: false,
    });
  },
  async mongodb() {
    const { MongoStore } = load('connect-mongo');
    const client = await new (load('mongodb').MongoClient)(`mongodb://127.0.0.1:${at.port}`).connect();
    return (session) => MongoStore.create({
      client, dbName: at.database, collectionName: 'express', autoRemove: 'disabled',
    });
  },
};

function work(request) {
  const { session } = request;
  if (request.path === '/new') {
    session.data = setup.data;
  } else if (request.path === '/read') {
    return session.data.user.name;
  } else {
    session.count = (session.count || 0) + 1;
  }
}

async function main() {
  const app = express();
  const isBare = setup.layer === 'bare';
  if (!isBare) {
    const session = load('express-session');
    const store = (await stores[at.adapter]())(session);
    app.use(session({
      store, secret: setup.config.secret, resave: false, saveUninitialized: false, cookie: { maxAge: 3600000 },
    }));
  }
  app.get(['/new', '/read', '/write'], (request, response) => {
    if (!isBare) {
      work(request);
    }
    response.type('text/plain').send('ok');
  });
  const server = app.listen(0, '127.0.0.1', 1024, () => console.log(server.address().port));
  server.keepAliveTimeout = 600000;
}

main();
