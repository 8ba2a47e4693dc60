// The application as it was: Express with node-session. It still knows every route, those that moved to Tornado, too.
//
// node server.js [port]
'use strict';

const express = require('express');
const NodeSession = require('node-session');

const sessions = new NodeSession(require('./config.json'));

const PRODUCTS = { tea: 'Tea', cup: 'Cup', pot: 'Pot' };

const app = express();
app.disable('x-powered-by');

// Before the sessions: a browser asks for it on its own, and that is no request that may use up flash data.
app.get('/favicon.ico', (req, res) => res.status(204).end());

app.use(express.urlencoded({ extended: false }));
app.use((req, res, next) => sessions.startSession(req, res, next));
app.use((req, res, next) => {
  if (req.method === 'POST' && req.body._token !== req.session.getToken()) {
    res.status(403).send('The form has expired: go back, reload the page, and send it again.');
  } else {
    next();
  }
});

app.get('/', (req, res) => {
  const forms = Object.entries(PRODUCTS).map(([id, name]) => `<form method="post" action="/cart">
    ${tokenField(req)}<button name="product" value="${id}">Add a ${name}</button></form>`);
  res.send(page(req, 'Shop', forms.join('\n')));
});

app.get('/login', (req, res) => {
  res.send(page(req, 'Log in', `<form method="post" action="/login">${tokenField(req)}
    <input name="name" placeholder="Your name" required> <button id="login">Log in</button></form>`));
});

app.post('/login', (req, res) => {
  req.session.regenerate(true);
  req.session.put('user', { name: String(req.body.name || 'Nobody') });
  req.session.flash('status', 'Node says: you are logged in.');
  res.redirect('/cart');
});

app.post('/logout', (req, res) => {
  req.session.flush();
  req.session.regenerate(true);
  res.redirect('/');
});

app.get('/cart', (req, res) => {
  const items = Object.entries(req.session.get('cart', {})).map(([id, count]) => `<li>${count} × ${PRODUCTS[id]}</li>`);
  res.send(page(req, 'Cart', `<ul id="cart">${items.join('')}</ul>
    <form method="post" action="/order">${tokenField(req)}<button id="order">Order</button></form>`));
});

app.post('/cart', (req, res) => {
  const id = req.body.product;
  if (!Object.hasOwn(PRODUCTS, id)) {
    res.status(404).send('There is no such product.');
    return;
  }
  req.session.put(`cart.${id}`, req.session.get(`cart.${id}`, 0) + 1);
  req.session.flash('status', `Node says: a ${PRODUCTS[id]} is in your cart.`);
  res.redirect('/');
});

app.post('/order', (req, res) => {
  req.session.forget('cart');
  req.session.flash('status', 'Node says: your order is on its way.');
  res.redirect('/cart');
});

function page(req, title, body) {
  const user = req.session.get('user.name');
  const status = req.session.get('status');
  return `<!DOCTYPE html>
<title>${title}</title>
<nav><a href="/">Shop</a> <a href="/cart">Cart</a>
${user ? `<form method="post" action="/logout">${tokenField(req)}<button id="logout">Log out</button></form>
<p id="user">${escape(user)}</p>` : '<a href="/login">Log in</a>'}</nav>
${status ? `<p id="status">${escape(status)}</p>` : ''}
<h1>${title}</h1>
${body}
<footer>served by <b id="by">Node</b></footer>`;
}

function tokenField(req) {
  return `<input type="hidden" name="_token" value="${req.session.getToken()}">`;
}

function escape(text) {
  return String(text).replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

const server = app.listen(Number(process.argv[2] || 3001), '127.0.0.1', () => console.log(server.address().port));
