// Refreshes the elements marked `data-live`: it loads the page again and changes only the differences, so that focus,
// selection and scroll position stay.

const INTERVAL = 30_000;
const SHORT_INTERVAL = 2_000;
const note = document.getElementById('unreachable');
let timer;
let running = null;

/** Fetches the page and takes over what has changed. */
export function refresh() {
  running ??= update().finally(() => { running = null; });
  return running;
}

async function update() {
  clearTimeout(timer);
  try {
    const response = await fetch(location.href.split('#')[0], {
      headers: { Accept: 'text/html' },
      cache: 'no-store',
    });
    if (!response.ok) throw new Error(String(response.status));
    const fresh = new DOMParser().parseFromString(await response.text(), 'text/html');
    for (const old of document.querySelectorAll('[data-live]')) {
      const now = fresh.getElementById(old.id);
      if (now) morph(old, now);
    }
    showNote('');
    document.dispatchEvent(new CustomEvent('refreshed'));
  } catch {
    showNote('The server cannot be reached. This page shows its last state and retries every 30 seconds.');
  }
  schedule();
}

// A page that is still loading data is refreshed soon.
function schedule() {
  const wait = document.querySelector('[data-live][data-soon]') ? SHORT_INTERVAL : INTERVAL;
  timer = setTimeout(() => { if (!document.hidden) refresh(); }, wait);
}

// Shown once, not every half minute.
function showNote(text) {
  if (note.textContent !== text) note.textContent = text;
}

/** Makes `old` what `now` is, touching as little as possible. */
function morph(old, now) {
  // Elements that the reader opened stay open.
  const own = old.nodeName === 'DETAILS' ? ['open'] : [];
  for (const { name } of [...old.attributes]) {
    if (!now.hasAttribute(name) && !own.includes(name)) old.removeAttribute(name);
  }
  for (const { name, value } of now.attributes) {
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  const wanted = [...now.childNodes];
  let at = old.firstChild;
  for (const next of wanted) {
    const fit = next.nodeType === 1 && next.dataset.key ? keyed(at, next.dataset.key) : at;
    if (fit && same(fit, next)) {
      // Removed elements.
      while (at !== fit) at = drop(at);
      if (fit.nodeType === 1) morph(fit, next);
      else if (fit.data !== next.data) fit.data = next.data;
      at = fit.nextSibling;
    } else {
      old.insertBefore(document.importNode(next, true), at);
      if (at && at.nodeType === next.nodeType && !at.dataset?.key) at = drop(at);
    }
  }
  while (at) at = drop(at);
}

function drop(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function keyed(from, key) {
  let node = from;
  while (node && node.dataset?.key !== key) node = node.nextSibling;
  return node;
}

const same = (a, b) =>
  a.nodeType === b.nodeType && a.nodeName === b.nodeName && a.dataset?.key === b.dataset?.key && a.id === b.id;

document.addEventListener('visibilitychange', () => { if (!document.hidden) refresh(); });
schedule();
