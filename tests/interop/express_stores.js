// The four stores of express-session that ours shares, each by a config as the tests give it:
// {store: "file", files: "…"} or {store: "redis" | "postgresql" | "mongodb", connection: {host, port, …}};
// `storeOptions` are the store's own, added to those.
'use strict';

const session = require('express-session');

const OPEN = {
  memory: () => ({ store: new session.MemoryStore(), close: () => {} }),

  file: ({ files, storeOptions }) => {
    const FileStore = require('session-file-store')(session);
    return { store: new FileStore({ path: files, reapInterval: -1, logFn: () => {}, ...storeOptions }), close: () => {} };
  },

  redis: async ({ connection: { host, port, password, database }, storeOptions }) => {
    const { RedisStore } = require('connect-redis');
    const client = require('redis').createClient({ socket: { host, port }, password, database });
    await client.connect();
    return { store: new RedisStore({ client, ...storeOptions }), close: () => client.destroy() };
  },

  postgresql: ({ connection: { host, port, user, password, database }, storeOptions }) => {
    const Store = require('connect-pg-simple')(session);
    const conObject = { host, port, user, password, database };
    const store = new Store({ conObject, createTableIfMissing: true, pruneSessionInterval: false, ...storeOptions });
    return { store, close: () => store.close() };
  },

  mongodb: ({ connection: { host, port, database }, storeOptions }) => {
    const { MongoStore } = require('connect-mongo');
    const store = MongoStore.create({ mongoUrl: `mongodb://${host}:${port}/${database}`, ...storeOptions });
    return { store, close: () => store.close() };
  },
};

/** A store that is ready: connected, and with its table and index. */
exports.openStore = async (config) => {
  const opened = await OPEN[config.store](config);
  if (config.store !== 'file') await new Promise((done, failed) => opened.store.get('warm-up', (error) => (error ? failed(error) : done())));
  return opened;
};
