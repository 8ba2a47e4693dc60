// The button with twenty requests, and the live view. Everything else works without JavaScript.

const token = document.querySelector("meta[name=csrf-token]").content;
const byId = (id) => document.getElementById(id);

async function send(path, method, fields) {
  const response = await fetch(path, {
    method,
    headers: { "X-CSRF-Token": token },
    body: fields && new URLSearchParams(fields),
  });
  if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${response.statusText}`);
  return response;
}

async function refreshPanel() {
  byId("panel").innerHTML = await (await fetch("/panel")).text();
}

async function burst() {
  const numbers = Array.from({ length: 20 }, (_, index) => index + 1);
  byId("burst").disabled = true;
  byId("burst-result").textContent = "on their way …";
  byId("dots").replaceChildren(...numbers.map(() => document.createElement("i")));
  const started = performance.now();
  try {
    await send("/burst", "DELETE");
    await Promise.all(numbers.map((number) => send("/burst", "POST", { number })));
    const milliseconds = Math.round(performance.now() - started);
    const { arrived } = await (await fetch("/burst")).json();
    for (const number of arrived) byId("dots").children[number - 1].className = "arrived";
    byId("burst-result").textContent = `${new Set(arrived).size} of 20 arrived, in ${milliseconds} ms.`;
  } catch (error) {
    byId("burst-result").textContent = error.message;
  }
  byId("burst").disabled = false;
  await refreshPanel();
}

function watch() {
  let before = null;
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => { byId("live-state").textContent = "connected"; };
  socket.onclose = (event) => {
    byId("live-state").textContent =
      event.code === 4001 ? "This session has ended: signed in or out in another tab. Reload the page." : "not connected";
  };
  socket.onmessage = (event) => {
    const now = JSON.parse(event.data);
    byId("count").textContent = Object.values(now.items).reduce((sum, each) => sum + each, 0);
    if (before !== null) {
      for (const slug of new Set([...Object.keys(before.items), ...Object.keys(now.items)])) {
        tell(slug, before.items[slug] ?? 0, now.items[slug] ?? 0);
      }
      if (!byId("burst").disabled) refreshPanel();
    }
    before = now;
  };
}

function tell(slug, before, now) {
  if (before === now) return;
  const item = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString("en-GB");
  item.append(time, `${document.querySelector(`.${slug} h2`).textContent}: ${before} → ${now}`);
  byId("live").prepend(item);
}

if (byId("burst")) {
  byId("burst").onclick = burst;
  watch();
}
