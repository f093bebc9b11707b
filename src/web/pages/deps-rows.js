// The tables of the editor: each control has its own name, Enter adds a row, and the focus stays near a removed row.

import { make } from './page.js';
import { button } from './form.js';
import { entry, isBlank, lockedEntry, plain, requirement } from './deps-shape.js';

let last = 0;
const next = (prefix) => `${prefix}-${(last += 1)}`;

function input(value, hint, change, attributes = {}) {
  const element = make('input', {
    type: 'text', autocomplete: 'off', autocapitalize: 'none', spellcheck: 'false', placeholder: hint, ...attributes,
  });
  element.value = value;
  element.addEventListener('input', () => change(element.value));
  return element;
}

const cell = (label, ...children) => make('td', { 'data-label': label }, ...children);

/** What stands in the file and is not understood: shown, and taken away on request. */
export function unknownKeyRows(unknownKeys, reason, change) {
  return [...unknownKeys].map(([key, value]) => {
    const item = make('p', { class: 'odd' }, make('code', {}, `${key} = ${plain(value)}`), ` ${reason} `);
    const removeButton = button('Remove', key);
    removeButton.addEventListener('click', () => {
      unknownKeys.delete(key);
      const near = item.parentElement.querySelector('input, textarea, select, button');
      item.remove();
      near?.focus();
      change();
    });
    item.append(removeButton);
    return item;
  });
}

/**
 * A table of entries that grows and shrinks, of a kind that styles know. `head` are its columns, `rows(one, redraw)` fills the rows of an entry, and
 * `fresh()` makes a new one. `change` is called after every change.
 */
function table({ kind, caption, entries, head, rows, fresh, add, change }) {
  const element = make('table', { class: `edit ${kind}` }, make('caption', { class: 'unseen' }, caption));
  element.append(make('thead', {}, make('tr', {}, ...head.map((text) => make('th', { scope: 'col' }, text)))));
  const bodies = new Map();
  const more = button(add, '', { class: '' });

  const draw = (one) => {
    const body = make('tbody');
    const problem = make('p', { class: 'wrong', id: next('wrong') });
    body.append(...rows(one, () => redraw(one), () => remove(one)));
    body.append(make('tr', { class: 'problem', hidden: '' }, make('td', { colspan: String(head.length) }, problem)));
    bodies.get(one)?.replaceWith(body);
    bodies.set(one, body);
    name(one);
    return body;
  };
  const redraw = (one) => {
    draw(one);
    change();
  };
  // Names of controls include the entry's name.
  const name = (one) => {
    const of = one.name.trim() || `row ${entries.indexOf(one) + 1}`;
    for (const control of bodies.get(one).querySelectorAll('[data-name]')) {
      control.setAttribute('aria-label', control.dataset.name.replace('%', of));
    }
  };
  const insert = (after) => {
    const one = fresh();
    const at = after ? entries.indexOf(after) + 1 : entries.length;
    entries.splice(at, 0, one);
    const body = draw(one);
    if (after) bodies.get(after).after(body);
    else element.append(body);
    body.querySelector('input').focus();
    change();
  };
  const remove = (one) => {
    const at = entries.indexOf(one);
    entries.splice(at, 1);
    bodies.get(one).remove();
    bodies.delete(one);
    const near = entries[at] ?? entries[at - 1];
    (near ? bodies.get(near).querySelector('[data-remove]') : more).focus();
    change();
  };
  element.addEventListener('input', (event) => {
    for (const [one, body] of bodies) if (body.contains(event.target)) name(one);
    change();
  });
  element.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.isComposing || event.target.type !== 'text') return;
    event.preventDefault();
    for (const [one, body] of [...bodies]) if (body.contains(event.target) && !isBlank(one)) insert(one);
  });
  more.addEventListener('click', () => insert());
  for (const one of entries) element.append(draw(one));

  /** Shows what is wrong with an entry; `key` is the key of those controls that it is about. */
  const mark = (one, text, key) => {
    const body = bodies.get(one);
    const row = body.querySelector('.problem');
    const message = row.querySelector('p');
    row.hidden = !text;
    if (message.textContent !== text) message.textContent = text;
    for (const control of body.querySelectorAll('input')) {
      const isConcerned = Boolean(text) && control.dataset.key === key;
      for (const [name, value] of [['aria-invalid', 'true'], ['aria-describedby', message.id]]) {
        if (isConcerned) control.setAttribute(name, value);
        else control.removeAttribute(name);
      }
    }
  };
  return { element, more, mark };
}

function createRemoveButton(remove) {
  const removeButton = button('Remove', '', { 'data-name': 'Remove %', 'data-remove': '' });
  removeButton.addEventListener('click', remove);
  return removeButton;
}

function nameInput(one) {
  return input(one.name, 'crate', (text) => { one.name = text; }, { 'data-name': 'Crate of %', 'data-key': 'name' });
}

/** What cannot be edited here, and can be taken out. */
function invalidRow(one, width, remove) {
  const about = make('td', { colspan: String(width) }, make('code', {}, plain(one.invalidValue)), ' is not a valid entry, and cannot be edited here.');
  return make('tr', {}, make('th', { scope: 'row' }, one.name), about, make('td', {}, createRemoveButton(remove)));
}

/** The table of `[dependencies]` or of a group. */
export function crates(caption, entries, change) {
  const rows = (one, redraw, remove) => {
    if (one.invalidValue !== undefined) return [invalidRow(one, 4, remove)];
    return one.requirements.map((req, index) => {
      const row = make('tr');
      const nth = index === 0 ? '' : `, version ${index + 1}`;
      if (index === 0) {
        const head = make('th', { scope: 'rowgroup', rowspan: String(one.requirements.length), 'data-label': 'Crate' });
        head.append(nameInput(one));
        row.append(head);
      }
      const set = (key) => (text) => { req[key] = text; };
      const label = (prefix, key) => ({ 'data-name': `${prefix} of %${nth}`, 'data-key': key });
      const defaults = make('input', { type: 'checkbox', ...label('Default features', 'default-features') });
      defaults.checked = req.defaults;
      defaults.addEventListener('input', () => { req.defaults = defaults.checked; });
      const actions = make('td', { class: 'acts' });
      if (index === 0) {
        const more = button('Add version', '', { 'data-name': 'Add version of %' });
        more.addEventListener('click', () => {
          one.requirements.push(requirement('', req));
          const body = more.closest('tbody');
          const table = body.parentElement;
          const at = [...table.children].indexOf(body);
          redraw();
          [...table.children[at].querySelectorAll('[data-key="version"]')].at(-1).focus();
        });
        actions.append(more, createRemoveButton(remove));
      } else {
        const removeButton = button('Remove', '', { 'data-name': `Remove version ${index + 1} of %` });
        removeButton.addEventListener('click', () => {
          one.requirements.splice(index, 1);
          const body = removeButton.closest('tbody');
          const table = body.parentElement;
          const at = [...table.children].indexOf(body);
          redraw();
          [...table.children[at].querySelectorAll('[data-key="version"]')][index - 1].focus();
        });
        actions.append(removeButton);
      }
      const unknownRows = unknownKeyRows(req.unknownKeys, 'is not a known key.', change);
      row.append(
        cell('Version', input(req.version, '1', set('version'), label('Version', 'version')), ...unknownRows),
        cell('Features', input(req.features, 'none', set('features'), label('Features', 'features'))),
        make('td', { class: 'tick', 'data-label': 'Default features' }, defaults),
        cell('Package', input(req.package, 'same', set('package'), label('Package', 'package'))),
        actions,
      );
      return row;
    });
  };
  const head = ['Crate', 'Version', 'Features', 'Defaults', 'Package', ''];
  return table({ kind: 'crates', caption, entries, head, rows, fresh: () => entry(), add: 'Add a crate', change });
}

/** The table of `[locked]`. */
export function locked(entries, change) {
  const rows = (one, _, remove) => {
    if (one.invalidValue !== undefined) return [invalidRow(one, 1, remove)];
    const set = (text) => { one.versions = text; };
    const row = make('tr', {}, make('th', { scope: 'row', 'data-label': 'Crate' }, nameInput(one)));
    const versions = input(one.versions, '1.0.11', set, { 'data-name': 'Exact versions of %', 'data-key': 'version' });
    row.append(cell('Exact versions', versions), make('td', { class: 'acts' }, createRemoveButton(remove)));
    return [row];
  };
  const head = ['Crate', 'Exact versions', ''];
  return table({
    kind: 'exact', caption: 'Exact versions', entries, head, rows, fresh: () => lockedEntry(), add: 'Add an exact version', change,
  });
}
