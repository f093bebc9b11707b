// Shared by all pages: the session, copying, and API requests.

/** Asks the API, by a path relative to the pages; a refusal becomes an Error with its hint. */
export const api = async (path, options) => (await ask(path, options)).answer;

/** The same, with the entity tag of the answer. */
export async function ask(path, { method = 'GET', body, headers = {}, signal } = {}) {
  const init = { method, headers: { Accept: 'application/json', ...headers }, cache: 'no-store', signal };
  if (method !== 'GET') {
    init.headers['Content-Type'] = 'application/json';
    init.body = body === undefined ? '' : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(new URL(`../api/${path}`, import.meta.url), init);
  } catch {
    throw new Error('The server cannot be reached.');
  }
  const answer = await response.json().catch(() => null);
  if (!response.ok) throw refusal(answer, response.status);
  return { answer, etag: response.headers.get('ETag') };
}

/** An Error of what the API said. */
export function refusal(answer, status) {
  const error = new Error(sentence(answer?.error ?? `The server answered with ${status}.`));
  error.hint = answer?.hint ? sentence(answer.hint) : '';
  error.status = status;
  error.problems = answer?.problems ?? [];
  return error;
}

function sentence(text) {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?]$/.test(upper) ? upper : `${upper}.`;
}

/** A new element with text and children. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** Bytes as the server writes them. */
export function size(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return unit === 0 ? `${bytes} B` : `${bytes.toFixed(2)} ${units[unit]}`;
}

/** `1 crate`, `2 crates`. */
export const counted = (number, one) => `${number.toLocaleString('en')} ${one}${number === 1 ? '' : 's'}`;

export const isAdmin = () => document.body.dataset.admin === 'true';
const mayRead = () => document.body.dataset.reads === 'true';

/** Writes come disabled, as nothing could be done with them without this module. */
function enableWrites() {
  if (!isAdmin()) return;
  for (const control of document.querySelectorAll('[data-write]')) control.disabled = false;
}

// A page opened by a link from another site is loaded without the session's cookie; this request has it.
async function checkSession() {
  const session = await api('session').catch(() => null);
  const key = 'frostmirror-reloaded';
  if (!session || (session.admin === isAdmin() && session.reads === mayRead())) {
    sessionStorage.removeItem(key);
  } else if (!sessionStorage.getItem(key)) {
    // At most once, whatever the server answers.
    sessionStorage.setItem(key, '1');
    location.reload();
  }
}

function prepareLogin() {
  const dialog = document.getElementById('login-dialog');
  const open = document.getElementById('login');
  if (dialog && open) {
    const form = document.getElementById('login-form');
    const token = document.getElementById('login-token');
    const wrong = document.getElementById('login-wrong');
    open.hidden = false;
    open.addEventListener('click', () => {
      wrong.textContent = '';
      dialog.showModal();
      token.focus();
    });
    document.getElementById('login-cancel').addEventListener('click', () => dialog.close());
    dialog.addEventListener('close', () => { token.value = ''; });
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      wrong.textContent = '';
      try {
        await api('login', { method: 'POST', body: { token: token.value } });
        location.reload();
      } catch (error) {
        wrong.textContent = [error.message, error.hint].filter(Boolean).join(' ');
        token.select();
      }
    });
  }
  const logout = document.getElementById('logout');
  if (logout) {
    logout.hidden = false;
    logout.addEventListener('click', async () => {
      await api('logout', { method: 'POST' }).catch(() => {});
      location.reload();
    });
  }
}

/** Copies; where the browser forbids that, the text is selected. True where it was copied. */
async function copy(element) {
  const text = element.textContent;
  // Only pages with TLS, or on this machine, have a clipboard.
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch { /* The older way may still work. */ }
  }
  const selection = getSelection();
  const range = document.createRange();
  range.selectNodeContents(element);
  selection.removeAllRanges();
  selection.addRange(range);
  let copied = false;
  try {
    copied = document.execCommand('copy');
  } catch { /* Then it stays selected. */ }
  if (copied) selection.removeAllRanges();
  return copied;
}

function prepareCopies() {
  const copyStatus = document.getElementById('copied');
  let silence;
  for (const button of document.querySelectorAll('[data-copy]')) {
    const text = document.getElementById(button.dataset.copy);
    const label = button.firstChild;
    const originalLabel = label.data;
    let timer;
    button.hidden = false;
    button.addEventListener('click', async () => {
      const copied = await copy(text);
      label.data = copied ? 'Copied' : 'Selected';
      if (copyStatus) copyStatus.textContent = copied ? 'Copied.' : 'The browser does not allow this page to copy. The text is selected: press Ctrl+C.';
      button.title = copied ? '' : 'The browser does not allow this page to copy. The text is selected: press Ctrl+C.';
      clearTimeout(timer);
      timer = setTimeout(() => { label.data = originalLabel; }, 3000);
      // All buttons share one status: an earlier one must not clear a later one's.
      clearTimeout(silence);
      silence = setTimeout(() => { if (copyStatus) copyStatus.textContent = ''; }, 3000);
    });
  }
}

enableWrites();
prepareLogin();
prepareCopies();
checkSession();
