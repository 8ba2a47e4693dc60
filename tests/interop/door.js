// The npm original behind the door that door.py is for ours: a request's body is a list of calls on its session,
// [["put", "a.b", 1], ["get", "a"]], the answer the list of their results. The config is the first argument, as JSON.
'use strict';

const http = require('http');

const NodeSession = require('node-session');

require('./old_postgresql');

const sessions = new NodeSession(JSON.parse(process.argv[2]));

function call(session, [method, ...args]) {
  const result = session[method](...args);
  return result === undefined || result === session ? null : JSON.parse(JSON.stringify(result));
}

const server = http.createServer((request, response) => {
  const chunks = [];
  request.on('data', (chunk) => chunks.push(chunk));
  request.on('end', () => {
    sessions.startSession(request, response, () => {
      const calls = JSON.parse(Buffer.concat(chunks).toString());
      response.setHeader('Content-Type', 'application/json');
      response.end(JSON.stringify(calls.map((each) => call(request.session, each))));
    });
  });
});
server.keepAliveTimeout = 60000;
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
