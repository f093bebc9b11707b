// Converts depends.toml between JSON and the editor's form; untouched and unknown values stay unchanged.

import { same, splitList } from './form.js';

const isTable = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const isText = (value) => typeof value === 'string';
const isTexts = (value) => Array.isArray(value) && value.every(isText);
const isNumber = (key) => /^[0-9]+$/.test(key);

/** A value as people write it. */
export const plain = (value) => (isText(value) ? value : JSON.stringify(value));

// ---- From JSON ----

/** What is edited, of a depends.toml as JSON. */
export function parse(json) {
  const { dependencies, locked, platforms, ...unknown } = json;
  const shape = { json, unknown: new Map(Object.entries(unknown)) };
  for (const [name, value] of Object.entries({ dependencies, locked, platforms })) {
    // A value that should be a table can only be removed.
    if (value !== undefined && !isTable(value)) shape.unknown.set(name, value);
  }
  const pairs = (value) => Object.entries(isTable(value) ? value : {});
  const own = pairs(dependencies).filter(([key]) => !isNumber(key));
  const numbered = pairs(dependencies).filter(([key]) => isNumber(key));
  shape.groups = [{ number: null, entries: own.map(([name, value]) => entry(name, value)) }];
  for (const [number, value] of numbered) {
    if (isTable(value)) {
      shape.groups.push({ number, entries: pairs(value).map(([name, inner]) => entry(name, inner)) });
    } else {
      shape.groups[0].entries.push(entry(number, value));
    }
  }
  shape.locked = pairs(locked).map(([name, value]) => lockedEntry(name, value));
  shape.platforms = toolchains(isTable(platforms) ? platforms : undefined);
  return shape;
}

/** An entry of `[dependencies]`, or of a group; without arguments a new one. */
export function entry(name = '', value = '') {
  const isList = Array.isArray(value) && value.length > 0;
  const all = isList ? value : [value];
  const known = all.every((one) => isText(one) || isTable(one));
  return { name, isList, invalidValue: known ? undefined : value, requirements: known ? all.map(requirement) : [] };
}

/** One requirement; `sibling` is one of the same crate. */
export function requirement(source = '', sibling) {
  const table = isTable(source) ? source : {};
  const readKey = (key, fits, other) => (fits(table[key]) ? table[key] : other);
  const validators = {
    version: isText, features: isTexts, 'default-features': (value) => typeof value === 'boolean', package: isText,
  };
  return {
    source,
    version: isText(source) ? source : readKey('version', isText, ''),
    features: readKey('features', isTexts, []).join(', '),
    defaults: readKey('default-features', validators['default-features'], true),
    package: readKey('package', isText, sibling?.package ?? ''),
    // Unknown keys, and values of the wrong type.
    unknownKeys: new Map(Object.entries(table).filter(([key, value]) => !validators[key]?.(value))),
  };
}

/** An entry of `[locked]`. */
export function lockedEntry(name = '', value = '') {
  const known = isText(value) || isTexts(value);
  return { name, source: value, invalidValue: known ? undefined : value, versions: known ? [value].flat().join(', ') : '' };
}

/** The keys of `[platforms]`. */
export const LISTS = ['targets', 'toolchain', 'components'];

function toolchains(source) {
  const table = source ?? {};
  const list = (value) => (isText(value) ? [value] : isTexts(value) ? value : []);
  const fits = (key, value) =>
    (key === 'profile' && isText(value)) || (LISTS.includes(key) && (isTexts(value) || (key === 'toolchain' && isText(value))));
  const shape = { source, isPresent: source !== undefined, profile: isText(table.profile) ? table.profile : '' };
  for (const key of LISTS) shape[key] = fits(key, table[key]) ? list(table[key]).join('\n') : '';
  shape.unknownKeys = new Map(Object.entries(table).filter(([key, value]) => !fits(key, value)));
  return shape;
}

// ---- To JSON ----

const isBlankRequirement = (one) =>
  !one.version.trim() && !one.features.trim() && one.defaults && !one.package.trim() && one.unknownKeys.size === 0;

/** Whether nothing was written into an entry yet. */
export const isBlank = (one) =>
  one.name.trim() === '' && one.invalidValue === undefined &&
  (one.requirements ? one.requirements.every(isBlankRequirement) : one.versions.trim() === '');

function requirementJson(one) {
  const { source, unknownKeys } = one;
  const before = requirement(source);
  const table = isTable(source);
  const out = {};
  if (one.version !== '' || !table || 'version' in source) out.version = one.version.trim();
  if (one.features === before.features) {
    if (table && isTexts(source.features)) out.features = source.features;
  } else if (splitList(one.features).length > 0) {
    out.features = splitList(one.features);
  }
  if (!one.defaults || (table && source['default-features'] === true)) out['default-features'] = one.defaults;
  if (one.package.trim()) out.package = one.package.trim();
  for (const [key, value] of unknownKeys) if (!(key in out) || out[key] === '') out[key] = value;
  const keys = Object.keys(out);
  return !table && keys.length === 1 && keys[0] === 'version' ? out.version : out;
}

function entryJson(one) {
  if (one.invalidValue !== undefined) return one.invalidValue;
  const all = one.requirements.filter((each, index) => index === 0 || !isBlankRequirement(each)).map(requirementJson);
  return all.length > 1 || one.isList ? all : all[0];
}

function lockedJson(one) {
  if (one.invalidValue !== undefined) return one.invalidValue;
  if (one.versions === lockedEntry('', one.source).versions) return one.source;
  const versions = splitList(one.versions);
  return versions.length > 1 || Array.isArray(one.source) ? versions : versions[0] ?? '';
}

function platformsJson(shape) {
  const source = shape.source ?? {};
  const out = Object.fromEntries(shape.unknownKeys);
  if (shape.profile) out.profile = shape.profile;
  const before = toolchains(shape.source);
  for (const key of LISTS) {
    const list = splitList(shape[key]);
    if (shape[key] === before[key] && key in source) out[key] = source[key];
    else if (list.length > 0) out[key] = key === 'toolchain' && list.length === 1 && !Array.isArray(source[key]) ? list[0] : list;
  }
  return out;
}

/** The JSON of what is edited. What stands twice has the last one's value; `findDuplicates` finds it. */
export function build(shape) {
  const out = Object.fromEntries(shape.unknown);
  const table = (entries, json) => entries.filter((one) => !isBlank(one)).map((one) => [one.name.trim(), json(one)]);
  const set = (name, value) => {
    const was = shape.json[name];
    const stays = isTable(was) && Object.keys(was).length === 0;
    if (Object.keys(value).length > 0 || stays) out[name] = value;
  };
  const pairs = [];
  for (const { number, entries } of shape.groups) {
    const own = table(entries, entryJson);
    if (number === null) pairs.push(...own);
    else if (own.length > 0) pairs.push([number, Object.fromEntries(own)]);
  }
  set('dependencies', Object.fromEntries(pairs));
  set('locked', Object.fromEntries(table(shape.locked, lockedJson)));
  if (shape.platforms.isPresent) out.platforms = platformsJson(shape.platforms);
  return out;
}

/** Where an entry stands in the file, as errors name it. */
export const pathOf = (table, one) => `${table}.${one.name.trim()}`;

/** Every table of entries, with its path in the file. */
export const tables = (shape) => [
  ...shape.groups.map(({ number, entries }) => [number === null ? 'dependencies' : `dependencies.${number}`, entries]),
  ['locked', shape.locked],
];

/** Entries that JSON cannot tell apart, or that have no name: each with its place and what is wrong. */
export function findDuplicates(shape) {
  const wrong = [];
  for (const [table, entries] of tables(shape)) {
    const names = new Set();
    for (const one of entries.filter((each) => !isBlank(each))) {
      const name = one.name.trim();
      if (name === '') wrong.push([one, 'An entry has no crate name.']);
      else if (names.has(name)) wrong.push([one, `${name} is listed twice in [${table}]. Add another version to the first entry instead.`]);
      names.add(name);
    }
  }
  return wrong;
}

// ---- Merging two changes of the same file ----

const isGroup = (path) => path.length === 2 && path[0] === 'dependencies' && isNumber(path[1]);

/** `mine` on top of `theirs`, entry by entry; both are edits of `base`. `both` are the places where mine replaced theirs. */
export function merge(base, mine, theirs) {
  const conflicts = [];
  const inner = (path, b, m, t) => {
    if (same(m, b) || same(m, t)) return t;
    if (same(t, b)) return m;
    const open = path.length < 2 || isGroup(path);
    if (open && [m, t].every(isTable)) {
      const of = isTable(b) ? b : {};
      const keys = new Set([...Object.keys(t), ...Object.keys(m)]);
      const merged = [...keys].map((key) => [key, inner([...path, key], of[key], m[key], t[key])]);
      return Object.fromEntries(merged.filter(([, value]) => value !== undefined));
    }
    conflicts.push(path.join('.'));
    return m;
  };
  return { merged: inner([], base, mine, theirs) ?? {}, conflicts };
}
