// The application as it was: Express with express-session, passport, connect-flash and csurf. It still knows every route,
// those that moved to Tornado, too.
//
// node server.js [port]; sessions are in files, or in the Redis of REDIS_URL
'use strict';

const util = require('util');

util.isArray ??= Array.isArray; // gone since Node 23, and connect-flash is older

const csurf = require('csurf');
const express = require('express');
const flash = require('connect-flash');
const passport = require('passport');
const session = require('express-session');
const { Strategy } = require('passport-local');

const { secret, files, lifetime, saveUninitialized } = require('./config.json');

const BOOKS = { dune: 'Dune', emma: 'Emma', walden: 'Walden' };

// A real one asks its database, here and in deserializeUser.
passport.use(new Strategy((name, password, done) => done(null, password === 'tea' && { name }, { message: 'The password is: tea.' })));
passport.serializeUser((user, done) => done(null, user.name));
passport.deserializeUser((name, done) => done(null, { name }));

async function openStore() {
  if (process.env.REDIS_URL) {
    const { RedisStore } = require('connect-redis');
    const client = require('redis').createClient({ url: process.env.REDIS_URL });
    client.on('error', (error) => console.error(`Redis: ${error.message || error.code}`)); // without it, an error ends Node
    await client.connect();
    return new RedisStore({ client });
  }
  const FileStore = require('session-file-store')(session);
  return new FileStore({ path: files, logFn: () => {} }); // it logs each cookie without a session, five times
}

function application(store) {
  const app = express();
  app.disable('x-powered-by');

  // Before the sessions: a browser asks for it on its own, and that needs none.
  app.get('/favicon.ico', (req, res) => res.status(204).end());

  app.use(express.urlencoded({ extended: false }));
  app.use(session({ secret, store, resave: false, saveUninitialized, cookie: { maxAge: lifetime, sameSite: 'lax' } }));
  app.use(passport.session(), flash(), csurf());

  app.get('/', (req, res) => {
    const forms = Object.entries(BOOKS).map(([id, title]) => `<form method="post" action="/loans">
      ${tokenField(req)}<button name="book" value="${id}">Borrow ${title}</button></form>`);
    res.send(page(req, 'Library', forms.join('\n')));
  });

  app.get('/login', (req, res) => {
    res.send(page(req, 'Log in', `<form method="post" action="/login">${tokenField(req)}
      <input name="username" placeholder="Your name" required> <input name="password" placeholder="tea" required>
      <button id="login">Log in</button></form>`));
  });

  app.post('/login', passport.authenticate('local', { failureRedirect: '/login', failureFlash: true }), (req, res) => {
    req.flash('info', 'Node says: you are logged in.');
    res.redirect('/loans');
  });

  app.post('/logout', (req, res, next) => req.logout((error) => (error ? next(error) : res.redirect('/'))));

  app.use(['/loans', '/return'], (req, res, next) => (req.isAuthenticated() ? next() : res.redirect('/login')));

  app.get('/loans', (req, res) => {
    const items = (req.session.loans ?? []).map((id) => `<li>${BOOKS[id]}</li>`);
    res.send(page(req, 'Your loans', `<ul id="loans">${items.join('')}</ul>
      <form method="post" action="/return">${tokenField(req)}<button id="return">Return all</button></form>`));
  });

  app.post('/loans', (req, res) => {
    const id = req.body.book;
    if (!Object.hasOwn(BOOKS, id)) {
      res.status(404).send('There is no such book.');
      return;
    }
    (req.session.loans ??= []).push(id);
    req.flash('info', `Node says: you have borrowed ${BOOKS[id]}.`);
    res.redirect('/');
  });

  app.post('/return', (req, res) => {
    delete req.session.loans;
    req.flash('info', 'Node says: you have returned all.');
    res.redirect('/loans');
  });
  return app;
}

function page(req, title, body) {
  const messages = [...req.flash('error'), ...req.flash('info')];
  return `<!DOCTYPE html>
<title>${title}</title>
<nav><a href="/">Library</a> <a href="/loans">Loans</a>
${req.user ? `<form method="post" action="/logout">${tokenField(req)}<button id="logout">Log out</button></form>
<p id="user">${escape(req.user.name)}</p>` : '<a href="/login">Log in</a>'}</nav>
${messages.map((message) => `<p class="message">${escape(message)}</p>`).join('')}
<h1>${title}</h1>
${body}
<footer>served by <b id="by">Node</b></footer>`;
}

function tokenField(req) {
  return `<input type="hidden" name="_csrf" value="${req.csrfToken()}">`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

openStore().then((store) => {
  const server = application(store).listen(Number(process.argv[2] || 3001), '127.0.0.1', () => console.log(server.address().port));
});
