// The controls of the settings. Only changed values are sent; the source of a value and pending restarts are shown.

import { api, ask, isAdmin, make } from './page.js';
import { button, id, same, savebar, errorText, splitList } from './form.js';

const settings = [...document.querySelectorAll('[data-setting]')].map(prepare);
let bar;
/** Names the state of the settings that this page knows. */
let { etag } = id('settings').dataset;

/** A row of the page with what the server said of it. */
function prepare(row) {
  return { key: row.dataset.setting, row, about: JSON.parse(row.dataset.about), reset: false };
}

// ---- Values ----

/** A number of bytes in the largest unit that loses nothing. */
function formatExactSize(bytes) {
  const units = ['', 'KiB', 'MiB', 'GiB', 'TiB'];
  let unit = 0;
  while (bytes > 0 && bytes % 1024 === 0 && unit < units.length - 1) {
    bytes /= 1024;
    unit += 1;
  }
  return `${bytes}${units[unit]}`;
}

function setValue({ about, control }, value) {
  if (about.kind === 'switch') control.checked = value === true;
  else if (about.kind === 'list') control.value = (value ?? []).join('\n');
  else if (about.kind === 'size') control.value = formatExactSize(value ?? 0);
  else control.value = value ?? '';
}

function readValue({ about, control }) {
  const text = control.value.trim();
  if (about.kind === 'switch') return control.checked;
  if (about.kind === 'list') {
    const list = splitList(text);
    return list.length === 0 && about.default === null ? null : list;
  }
  if (about.kind === 'size') return /^\d{1,15}$/.test(text) ? Number(text) : text === formatExactSize(about.value) ? about.value : text;
  return text === '' && about.default === null ? null : text;
}

/** What would be sent of a setting; `undefined`: nothing. */
function change(one) {
  if (!one.about.may) return undefined;
  if (one.reset) return one.about.source === 'file' ? null : undefined;
  const now = readValue(one);
  return same(now, one.about.value) ? undefined : now;
}

function changes() {
  const all = settings.map((one) => [one.key, change(one)]);
  return Object.fromEntries(all.filter(([, value]) => value !== undefined));
}

const count = () => Object.keys(changes()).length;

// ---- Drawing ----

function controlOf(kind, options) {
  const plain = { autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false' };
  if (kind === 'switch') return make('input', { type: 'checkbox' });
  if (kind === 'list') return make('textarea', { rows: '2', ...plain });
  if (kind === 'select') return make('select', {}, ...options.map((option) => make('option', { value: option }, option)));
  return make('input', { type: 'text', ...plain });
}

function draw(one) {
  const { key, row, about } = one;
  const control = controlOf(about.kind, about.options);
  one.control = control;
  control.id = `set-${key}`;
  control.disabled = !about.may;
  if (about.kind === 'text' && about.without) control.placeholder = about.without;
  control.setAttribute('aria-describedby', `about-${key} source-${key} wrong-${key}`);
  const label = row.querySelector('.label');
  label.replaceWith(make('label', { for: control.id, class: 'label' }, label.textContent));
  one.stateLabel = about.kind === 'switch' ? make('span', { 'aria-hidden': 'true' }) : '';
  row.querySelector('.value').replaceChildren(control, ...(one.stateLabel ? [' ', one.stateLabel] : []));
  one.wrong = make('p', { class: 'wrong', id: `wrong-${key}` });
  row.querySelector('.about').after(one.wrong);
  row.querySelector('.source')?.remove();
  one.source = make('small', { class: 'source', id: `source-${key}` });
  one.back = button('Use the default', `of ${label.textContent}`);
  row.querySelector('.default').append(one.source, one.back);
  control.addEventListener('input', () => {
    one.reset = false;
    changed(one);
  });
  one.back.addEventListener('click', () => {
    setValue(one, about.default);
    one.reset = true;
    control.focus();
    changed(one);
  });
  fill(one);
}

/** Shows what is in effect. */
function fill(one) {
  one.reset = false;
  setValue(one, one.about.value);
  if (one.about.kind === 'list') one.control.rows = Math.max(2, (one.about.value ?? []).length);
  state(one);
  wrong(one, '');
}

/** What says the value, and what would become of it. */
function state(one) {
  const { about } = one;
  const next = change(one);
  const fixedBy = about.fixed_by ?? '';
  let sourceText = '';
  if (!about.may) sourceText = `Fixed by ${fixedBy} until the server ends.`;
  else if (next === null) sourceText = 'Saving restores the default.';
  else if (next !== undefined) sourceText = 'Changed, not saved yet.';
  else if (fixedBy) sourceText = `Set by ${fixedBy}; a change here lasts until the server ends.`;
  else if (about.source === 'file') sourceText = 'Set by frostmirror.toml.';
  if (one.source.textContent !== sourceText) one.source.textContent = sourceText;
  one.back.hidden = !about.may || Boolean(fixedBy) || next === null || (about.source !== 'file' && next === undefined);
  one.row.classList.toggle('dirty', next !== undefined);
  if (one.stateLabel) one.stateLabel.textContent = one.control.checked ? 'on' : 'off';
}

function wrong(one, text) {
  one.wrong.textContent = text;
  one.control.setAttribute('aria-invalid', String(text !== ''));
}

function changed(one) {
  wrong(one, '');
  state(one);
  const number = count();
  bar.say(number === 0 ? 'No changes.' : number === 1 ? 'One change, not saved yet.' : `${number} changes, not saved yet.`);
}

// ---- Saving ----

async function save() {
  const wanted = changes();
  for (const one of settings) wrong(one, '');
  if (Object.keys(wanted).length === 0) {
    bar.say('No changes.');
    return;
  }
  bar.say('Saving…');
  try {
    const { answer: done } = await ask('config', { method: 'POST', body: wanted, headers: { 'If-Match': etag } });
    await reload(Object.keys(wanted));
    const waits = done.needs_restart;
    if (waits.length === 0) bar.say('Saved and in effect.', 'good');
    else bar.say(`Saved. Restart the server to apply ${waits.join(' and ')}.`, 'good');
  } catch (error) {
    if (error.status === 412) await showConflict();
    else showRefusal(error, wanted);
  }
}

/** Another user changed the settings: shows theirs, and keeps the choices made here. */
async function showConflict() {
  let theirs;
  try {
    theirs = await reload([]);
  } catch (error) {
    bar.say(`Not saved: ${errorText(error)}`, 'wrong');
    return;
  }
  const conflicts = theirs.filter((one) => change(one) !== undefined);
  const names = (list) => list.map(({ key }) => key).join(', ');
  for (const one of conflicts) wrong(one, 'Another client changed this in the meantime. Your value is shown; saving it replaces theirs.');
  const what = theirs.length > 0 ? `Another client changed ${names(theirs)} in the meantime.` : 'Another client changed the settings in the meantime.';
  bar.say(`Not saved: ${what} Review it, and save again.`, 'wrong');
  conflicts[0]?.control.focus();
}

/** Adopts the settings in effect; a client that may no longer write sees this. Returns the settings whose value changed. */
async function reload(sent) {
  const others = [];
  try {
    const session = await api('session');
    const { answer: now, etag: tag } = await ask('config');
    etag = tag;
    for (const one of settings) {
      const { value, default: usual, source, fixed_by } = now[one.key];
      if (!same(value, one.about.value)) others.push(one);
      // Input that was typed in the meantime stays.
      const isOpen = change(one) !== undefined && !sent.includes(one.key);
      Object.assign(one.about, { value, default: usual, source, fixed_by });
      if (isOpen) state(one);
      else fill(one);
    }
    await showLive();
    if (!session.admin) location.reload();
  } catch (error) {
    if (error.status === 401 || error.status === 403) location.reload();
    else throw error;
  }
  return others;
}

/** What the server makes of live mode now, in its own words. */
async function showLive() {
  const response = await fetch(location.href.split('#')[0], { headers: { Accept: 'text/html' }, cache: 'no-store' });
  const fresh = new DOMParser().parseFromString(await response.text(), 'text/html').getElementById('live-state');
  if (fresh) id('live-state').replaceChildren(...document.importNode(fresh, true).childNodes);
}

/** Shows an error at the setting that it names. */
function showRefusal(error, wanted) {
  const named = [...error.message.matchAll(/`([a-z_]+)`/g)].map((found) => found[1]);
  const one = settings.find(({ key }) => named.includes(key) && key in wanted) ??
    settings.find(({ key }) => named.includes(key)) ??
    // A single change caused the error.
    (Object.keys(wanted).length === 1 && error.status === 422 ? settings.find(({ key }) => key in wanted) : undefined);
  if (!one) {
    bar.say(`Not saved: ${errorText(error)}`, 'wrong');
    return;
  }
  wrong(one, errorText(error));
  bar.say('Not saved: a setting is invalid.', 'wrong');
  one.control.focus();
}

function discard() {
  settings.forEach(fill);
  bar.say('No changes.');
}

id('settings').addEventListener('submit', (event) => event.preventDefault());
if (isAdmin()) {
  bar = savebar({ save, discard, changes: count });
  settings.forEach(draw);
  bar.say('No changes.');
}
