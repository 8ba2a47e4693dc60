// On Node: the npm original, and a bare handler to compare it with. The setup is one line of JSON on standard input; see
// ../contestants.py.
'use strict';

const http = require('http');
const path = require('path');

const setup = JSON.parse(require('fs').readFileSync(0, 'utf-8'));

process.on('warning', () => {});

// Each answers on a path what its session is asked for; the answers are the same two bytes.
const works = {
  '/new': (session) => session.put('data', setup.data),
  '/read': (session) => session.get('data.user.name'),
  '/write': (session) => session.put('count', session.get('count', 0) + 1),
};

function bare(request, response) {
  response.end('ok');
}

function original() {
  const NodeSession = require(path.join(__dirname, '../../interop/node_modules/node-session'));
  const sessions = new NodeSession(setup.config);
  return (request, response) => {
    sessions.startSession(request, response, () => {
      works[request.url](request.session);
      response.end('ok');
    });
  };
}

const server = http.createServer(setup.layer === 'bare' ? bare : original());
server.keepAliveTimeout = 600000;
server.listen(0, '127.0.0.1', 1024, () => console.log(server.address().port));
