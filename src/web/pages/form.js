// Shared by the two editor pages: the save bar, and the warning about unsaved changes.

import { make } from './page.js';

export const id = (name) => document.getElementById(name);

/** What went wrong, as one text. */
export const errorText = (error) => [error.message, error.hint].filter(Boolean).join(' ');

/** The words of a text, whatever is between them. */
export const splitList = (text) => text.split(/[\s,]+/).filter(Boolean);

/** Whether two values that JSON knows are one, whatever the order of their keys. */
export const same = (a, b) => canonical(a) === canonical(b);

function canonical(value) {
  return JSON.stringify(value, (_, inner) =>
    inner !== null && typeof inner === 'object' && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner);
}

/**
 * The bar with `Save` and `Discard changes`. What they do is given, and how many changes there are; `say` tells something
 * until the next change.
 */
export function savebar({ save, discard, changes }) {
  const bar = id('savebar');
  const message = id('save-status');
  let busy = false;
  bar.hidden = false;
  const run = async (work) => {
    if (busy) return;
    busy = true;
    try {
      await work();
    } finally {
      busy = false;
    }
  };
  id('save').addEventListener('click', () => run(save));
  id('discard').addEventListener('click', () => run(discard));
  addEventListener('keydown', (event) => {
    if (event.key !== 's' || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    event.preventDefault();
    run(save);
  });
  addEventListener('beforeunload', (event) => { if (changes()) event.preventDefault(); });
  const say = (text, kind = '') => {
    if (message.textContent !== text) message.textContent = text;
    message.className = kind;
    bar.classList.toggle('dirty', Boolean(changes()));
  };
  return { say };
}

/** A button with a name that says more than what is seen. */
export function button(text, more, attributes = {}) {
  const element = make('button', { type: 'button', class: 'plain', ...attributes }, text);
  if (more) element.append(make('span', { class: 'unseen' }, ` ${more}`));
  return element;
}
