// The editor of depends.toml. The server validates the edited file after each change, so the preview is the text that would
// be stored.

import { api, ask, isAdmin, make } from './page.js';
import { button, id, same, savebar, errorText } from './form.js';
import { LISTS, build, findDuplicates, merge, parse, pathOf, plain, tables } from './deps-shape.js';
import { crates, locked, unknownKeyRows } from './deps-rows.js';

const editor = id('editor');
const problems = id('problems');
const PAUSE = 250;
const PROFILES = ['minimal', 'default', 'complete'];
const ABOUT = {
  targets: ['Targets', 'Hosts that build, and targets that they build for. One per line.', 'x86_64-unknown-linux-gnu'],
  toolchain: ['Channels', 'stable, beta, nightly, 1.86.0, nightly-2026-04-25. One per line.', 'stable'],
  components: ['Further components', 'Components that the profile lacks, such as rust-src. One per line.', ''],
};

let base;
let etag;
let start;
let shape;
let markers = [];
let bar;

const isDirty = () => !same(build(shape), start);

// ---- Drawing ----

function card(title, name, ...children) {
  const heading = make('h2', { id: `${name}-title`, tabindex: '-1' }, title);
  return make('section', { class: 'card', 'aria-labelledby': `${name}-title` }, heading, ...children);
}

// A table that is wider than the window can be scrolled by keyboard, even without rows.
const scroll = (title, element) =>
  make('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': `${title} as a table` }, element);

function groupCard(group) {
  const name = group.number === null ? 'group' : `group-${group.number}`;
  const title = group.number === null ? 'Crates' : `Crates of group ${group.number}`;
  const view = crates(title, group.entries, changed);
  markers.push([group.entries, view.mark]);
  const actions = make('div', { class: 'actions' }, view.more);
  const about = group.number === null ? 'Resolved together, to their newest matching versions.' : 'Resolved together, separately from all other crates.';
  const section = card(title, name, make('p', { class: 'soft' }, about), scroll(title, view.element), actions);
  if (group.number !== null) {
    const removeButton = button('Remove the group', group.number, { class: '' });
    removeButton.addEventListener('click', () => {
      shape.groups = shape.groups.filter((other) => other !== group);
      section.remove();
      id('add-group').focus();
      changed();
    });
    actions.append(removeButton);
  }
  return section;
}

function addGroup() {
  const usedNumbers = new Set(shape.groups.map(({ number }) => number));
  let number = 2;
  while (usedNumbers.has(String(number))) number += 1;
  const group = { number: String(number), entries: [] };
  shape.groups.push(group);
  const section = groupCard(group);
  id('add-group').parentElement.before(section);
  section.querySelector('.actions button').click();
}

function platformsCard() {
  const own = shape.platforms;
  const checkbox = make('input', { type: 'checkbox', id: 'platforms' });
  checkbox.checked = own.isPresent;
  const fields = make('div', { id: 'platform-fields' });
  fields.hidden = !own.isPresent;
  checkbox.addEventListener('input', () => {
    own.isPresent = checkbox.checked;
    fields.hidden = !own.isPresent;
    changed();
  });
  const field = (key, control, label, about) => {
    control.id = `platforms-${key}`;
    control.setAttribute('aria-describedby', `platforms-${key}-about platforms-${key}-wrong`);
    control.addEventListener('input', () => {
      own[key] = control.value;
      changed();
    });
    return make('div', { class: 'field' },
      make('label', { for: control.id }, label), control,
      make('p', { class: 'soft', id: `platforms-${key}-about` }, about),
      make('p', { class: 'wrong', id: `platforms-${key}-wrong` }));
  };
  for (const key of LISTS) {
    const [label, about, hint] = ABOUT[key];
    const lines = String(Math.max(2, own[key].split('\n').length));
    const area = make('textarea', { rows: lines, spellcheck: 'false', autocapitalize: 'none', placeholder: hint });
    area.value = own[key];
    fields.append(field(key, area, label, about));
  }
  const select = make('select', {}, make('option', { value: '' }, 'not set (default)'));
  for (const profile of new Set([...PROFILES, own.profile])) {
    if (profile) select.append(make('option', { value: profile }, profile));
  }
  select.value = own.profile;
  fields.children[1].after(field('profile', select, 'Profile', 'The rustup profile to fetch.'));
  fields.append(...unknownKeyRows(own.unknownKeys, 'is not a known key.', changed), make('p', { class: 'wrong', id: 'platforms-wrong' }));
  return card('Toolchains', 'platforms', make('label', { class: 'check' }, checkbox, ' Fetch toolchains too'), fields);
}

function unknownCard() {
  const about = 'fetch rejects a file with unknown keys. Remove them before you save.';
  const section = card('Unknown keys', 'unknown', make('p', {}, about));
  const list = unknownKeyRows(shape.unknown, 'is not a table of depends.toml.', () => {
    if (shape.unknown.size === 0) {
      section.remove();
      editor.querySelector('h2').focus();
    }
    changed();
  });
  section.append(...list);
  return section;
}

function draw(json) {
  shape = parse(json);
  markers = [];
  const sections = shape.groups.map(groupCard);
  const more = button('Add a group', '', { class: '', id: 'add-group' });
  more.addEventListener('click', addGroup);
  sections.push(make('div', { class: 'actions' }, more, make('span', { class: 'soft' }, 'for crates that are resolved separately, such as other versions of the same crates')));
  const exact = locked(shape.locked, changed);
  markers.push([shape.locked, exact.mark]);
  const about = make('p', { class: 'soft' }, 'Mirrored exactly as listed; their dependencies are not resolved. Separate several versions of one crate with commas.');
  sections.push(card('Locked', 'locked', about, scroll('Locked', exact.element), make('div', { class: 'actions' }, exact.more)));
  sections.push(platformsCard());
  if (shape.unknown.size > 0) sections.unshift(unknownCard());
  editor.replaceChildren(...sections);
}

// ---- Validation ----

let timer;
let running;
let attempts = 0;

function changed() {
  clearTimeout(timer);
  timer = setTimeout(attempt, PAUSE);
  bar.say(isDirty() ? 'Not saved yet.' : 'No changes.');
}

/** Shows what would be stored, or why nothing would. The newest answer wins. */
async function attempt() {
  clearTimeout(timer);
  const wanted = build(shape);
  const number = (attempts += 1);
  running?.abort();
  running = new AbortController();
  const own = findDuplicates(shape);
  if (own.length > 0) {
    show(own.map(([entry, text]) => ({ entry, text, key: 'name' })));
    return;
  }
  try {
    const answer = await api('deps?dry_run=true', {
      method: 'POST', body: wanted, headers: { 'If-Match': etag }, signal: running.signal,
    });
    if (number !== attempts) return;
    show([]);
    showToml(answer.toml, answer.changed ? 'Preview of the new file.' : 'The stored file.');
  } catch (error) {
    if (number === attempts) showRefusal(error, wanted);
  }
}

function showToml(text, about) {
  const lines = text.split(/(?<=\n)/);
  id('toml').replaceChildren(...lines.map((line) => make('span', { class: 'line' }, line)));
  id('preview-about').textContent = about;
}

function showRefusal(error, wanted) {
  if (error.status === 412) {
    show([]);
    showConflict();
  } else if (same(wanted, {}) && same(start, {})) {
    // A missing file is empty, and not an error.
    show([]);
  } else {
    show(splitProblems(error).map(locateProblem));
  }
}

/** The problems in an error, without their positions: the user does not see that file. */
function splitProblems(error) {
  const found = error.problems.map((one) => one.message);
  return found.length > 0 ? found : [errorText(error)];
}

/** What a problem is about: an entry, or a key of `[platforms]`. */
function locateProblem(text) {
  const within = text.match(/`([^`]*)` in `\[([^`\]]*)\]`/);
  const path = within ? `${within[2]}.${within[1]}` : text.match(/`((?:dependencies|locked|platforms)\.[^`]*)`/)?.[1];
  if (!path) return { text };
  for (const [table, entries] of tables(shape)) {
    for (const entry of entries) {
      const entryPath = pathOf(table, entry);
      if (path === entryPath) return { entry, text, key: within ? 'name' : 'version' };
      if (path.startsWith(`${entryPath}.`)) return { entry, text, key: path.slice(entryPath.length + 1) };
    }
  }
  return { text, field: path.match(/^platforms\.(.*)$/)?.[1] };
}

/** Shows problems where they are, and all of them above the file. */
function show(found) {
  for (const [entries, mark] of markers) {
    for (const entry of entries) {
      const own = found.filter((one) => one.entry === entry);
      mark(entry, own.map((one) => one.text).join(' '), own[0]?.key);
    }
  }
  for (const key of [...LISTS, 'profile']) {
    const own = found.filter((one) => one.field === key).map((one) => one.text).join(' ');
    id(`platforms-${key}-wrong`).textContent = own;
    id(`platforms-${key}`).setAttribute('aria-invalid', String(own !== ''));
  }
  problems.hidden = found.length === 0;
  problems.replaceChildren(...found.map(({ text }) => make('li', {}, text)));
  const some = found.length === 1 ? 'One entry is' : `${found.length} entries are`;
  if (found.length > 0) {
    id('preview-about').textContent = 'Preview before the invalid entry.';
    bar.say(`${some} invalid. Correct the marked entries before you save.`, 'wrong');
  } else {
    bar.say(isDirty() ? 'Not saved yet.' : 'No changes.');
  }
}

// ---- Saving ----

async function save() {
  clearTimeout(timer);
  attempts += 1;
  const own = findDuplicates(shape);
  if (own.length > 0) {
    attempt();
    focusWrong();
    return;
  }
  const wanted = build(shape);
  if (same(wanted, start)) {
    bar.say('No changes.');
    return;
  }
  bar.say('Saving…');
  try {
    const stored = await ask('deps', { method: 'POST', body: wanted, headers: { 'If-Match': etag } });
    etag = stored.etag;
    base = wanted;
    start = wanted;
    // The editor continues from the stored state.
    shape.json = wanted;
    show([]);
    showToml(stored.answer.toml, 'The stored file.');
    if (isDirty()) changed();
    else bar.say('Saved.', 'good');
  } catch (error) {
    showRefusal(error, wanted);
    focusWrong();
  }
}

/** Leads who wanted to save to what keeps them from it; who types is left where they are. */
function focusWrong() {
  (id('moved-title') ?? editor.querySelector('[aria-invalid="true"]'))?.focus();
}

function discard() {
  draw(base);
  start = build(shape);
  id('moved').replaceChildren();
  attempt();
}

/** Another user changed the file. */
function showConflict() {
  bar.say('Not saved: another client changed the file. Load it again above.', 'wrong');
  if (id('moved-title')) return;
  const keepButton = button('Load again, keep my changes', '', { class: 'strong', id: 'load-keep' });
  const dropButton = button('Load again, drop my changes', '', { class: '', id: 'load-drop' });
  const title = make('h2', { id: 'moved-title', tabindex: '-1' }, 'Another client changed the file');
  const about = 'Another client saved a different depends.toml after this page was loaded. Load it again: your changes are applied to the new file. Review them before you save.';
  id('moved').replaceChildren(make('section', { class: 'notice', role: 'group', 'aria-labelledby': 'moved-title' },
    title, make('p', {}, about), make('div', { class: 'actions' }, keepButton, dropButton)));
  keepButton.addEventListener('click', () => reload(true));
  dropButton.addEventListener('click', () => reload(false));
}

async function reload(keepsChanges) {
  const mine = build(shape);
  let theirs;
  try {
    theirs = await ask('deps');
  } catch (error) {
    bar.say(errorText(error), 'wrong');
    return;
  }
  const { merged, conflicts } = keepsChanges ? merge(start, mine, theirs.answer) : { merged: theirs.answer, conflicts: [] };
  base = theirs.answer;
  etag = theirs.etag;
  draw(base);
  start = build(shape);
  if (keepsChanges) draw(merged);
  const note = conflicts.length > 0
    ? make('p', { class: 'notice' }, `Both of you changed ${conflicts.join(', ')}; your version is shown. To use theirs, discard your changes.`)
    : '';
  id('moved').replaceChildren(note);
  await attempt();
  (editor.querySelector('h2') ?? id('save')).focus();
}

if (isAdmin() && editor.dataset.depends !== undefined) {
  bar = savebar({ save, discard, changes: isDirty });
  base = JSON.parse(editor.dataset.depends);
  etag = editor.dataset.etag;
  draw(base);
  start = build(shape);
  bar.say('No changes.');
  showToml(id('toml').textContent, id('preview-about').textContent);
  if (!same(base, {})) attempt();
}
