// sails-postgresql 0.11, on a Node and a PostgreSQL that are younger than it. What it stores is not touched.
'use strict';

const net = require('net');

const { Client } = require('pg');

// Since Node 14 a socket that was never connected calls itself open, and the client waits for it for ever.
net.Stream = class extends net.Socket {
  get readyState() {
    return this.connecting || this._handle ? super.readyState : 'closed';
  }
};

// Since PostgreSQL 12 the catalogue lacks two columns, which the adapter asks for when it describes the table.
const GONE = { 'r.consrc': 'pg_get_constraintdef(r.oid) AS consrc', 'd.adsrc': 'pg_get_expr(d.adbin, d.adrelid)' };
const { query } = Client.prototype;
Client.prototype.query = function (text, ...rest) {
  const known = typeof text === 'string' ? text.replace(/r\.consrc|d\.adsrc/g, (column) => GONE[column]) : text;
  return query.call(this, known, ...rest);
};
