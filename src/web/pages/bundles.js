// Uploads, snapshots and cleaning up. Long work is a job of the server, and this page shows its state after a reload.

import { api, counted, isAdmin, make, refusal, size } from './page.js';
import { refresh } from './live.js';

const id = (name) => document.getElementById(name);

/** What went wrong, as one text. */
const errorText = (error) => [error.message, error.hint].filter(Boolean).join(' ');

const delay = (ms) => new Promise((go) => setTimeout(go, ms));

// ---- Uploads ----

const dropTarget = id('drop');
const fileInput = id('choose');
const queue = [];
let sending = false;

function prepareUploads() {
  // A file dropped beside the target must not replace the page.
  for (const kind of ['dragover', 'drop']) {
    addEventListener(kind, (event) => { if (hasFiles(event)) event.preventDefault(); });
  }
  if (!isAdmin() || !fileInput) return;
  id('choose-button').addEventListener('click', () => fileInput.click());
  fileInput.addEventListener('change', () => {
    addFiles(fileInput.files);
    fileInput.value = '';
  });
  addEventListener('dragover', (event) => { if (hasFiles(event)) dropTarget.classList.add('over'); });
  addEventListener('dragleave', (event) => { if (!event.relatedTarget) dropTarget.classList.remove('over'); });
  addEventListener('drop', (event) => {
    dropTarget.classList.remove('over');
    if (hasFiles(event)) addFiles(event.dataTransfer.files);
  });
  addEventListener('beforeunload', (event) => { if (sending) event.preventDefault(); });
}

const isWatching = () => id('add').dataset.watching === 'true';

const hasFiles = (event) => event.dataTransfer?.types.includes('Files');

function addFiles(files) {
  // Names begin with the time, so a bundle sorts before its deltas.
  const order = isWatching() ? [...files] : [...files].sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const file of order) {
    const entry = createUpload(file);
    if (!file.name.endsWith('.pkg')) entry.fail('This is not a .pkg file.');
    else queue.push({ file, entry });
  }
  processQueue();
}

/** An upload as it is shown. */
function createUpload(file) {
  const meter = make('progress', { max: '1', value: '0', 'aria-label': `Upload of ${file.name}` });
  const text = make('p', {}, `waiting (${size(file.size)})`);
  const item = make('li', {}, make('strong', {}, file.name), text, meter);
  id('uploads').append(item);
  const finish = (message, kind) => {
    meter.remove();
    text.className = kind;
    text.textContent = message;
    announce(`${file.name}: ${message}`);
  };
  return {
    setText: (message) => { if (text.textContent !== message) text.textContent = message; },
    announce: (message) => announce(`${file.name}: ${message}`),
    setProgress: (part) => { meter.value = part; },
    unknown: () => meter.removeAttribute('value'),
    fail: (message) => finish(message, 'wrong'),
    done: (message) => finish(message, 'good'),
    keep: (message) => finish(message, ''),
  };
}

function announce(message) {
  id('upload-status').textContent = message;
}

async function processQueue() {
  if (sending) return;
  sending = true;
  for (let next = queue.shift(); next; next = queue.shift()) {
    const { file, entry } = next;
    try {
      const before = await readState();
      const answer = await send(file, entry);
      // The next file is sent while this one is imported; without a watcher, one job runs at a time.
      if (answer?.watching === false) await importNow(answer, entry, before);
      else watch(answer?.file ?? file.name, entry, before);
    } catch (error) {
      entry.fail(errorText(error));
    }
  }
  sending = false;
}

function send(file, entry) {
  return new Promise((done, failed) => {
    const request = new XMLHttpRequest();
    request.open('PUT', `./api/incoming/${encodeURIComponent(file.name)}?import=true`);
    request.setRequestHeader('Content-Type', 'application/octet-stream');
    request.upload.addEventListener('progress', ({ loaded, total }) => {
      entry.setProgress(total ? loaded / total : 0);
      entry.setText(`${size(loaded)} of ${size(total)} sent`);
    });
    request.addEventListener('load', () => {
      let answer = null;
      try { answer = JSON.parse(request.responseText); } catch { /* It says nothing more. */ }
      if (request.status >= 200 && request.status < 300) done(answer);
      else failed(refusal(answer, request.status));
    });
    request.addEventListener('error', () => failed(new Error('The connection broke. Upload the file again.')));
    request.addEventListener('abort', () => failed(new Error('The upload was cancelled.')));
    entry.announce('upload started');
    request.send(file);
  });
}

/** The state before an upload, to recognize the changes that the upload causes. */
async function readState() {
  const [incoming, packages] = await Promise.all([api('incoming'), api('packages?per_page=1')]);
  const failed = new Set(incoming.failed.map((one) => one.reason + one.file));
  return { failed, done: incoming.done_total, newest: packages.packages[0]?.number ?? 0 };
}

/** Whether a bundle that left the folder is on record, or was held already, which makes no record. */
async function isImported(name, now, before, absentPolls) {
  const { packages } = await api('packages?per_page=25');
  if (packages.some((one) => one.number > before.newest && one.file === name)) return true;
  // During other imports, the watcher's state may be outdated.
  return now.done_total > before.done && now.files.length === now.waiting.length && absentPolls > 2;
}

/** Follows the import of an uploaded bundle on a server that does not watch; begins it where another job was at work. */
async function importNow({ file, job }, entry, before) {
  while (!job) {
    try {
      job = await api(`incoming/${encodeURIComponent(file)}/import`, { method: 'POST' });
    } catch (error) {
      if (error.status !== 409) throw error;
      if ((await api('incoming')).watching) {
        watch(file, entry, before);
        return;
      }
      entry.setText('Uploaded. Waiting for another job to end.');
      await delay(1000);
    }
  }
  entry.unknown();
  entry.setText('Uploaded. Verifying and importing.');
  while (job.state === 'running') {
    await delay(500);
    job = await api(`jobs/${job.id}`);
  }
  if (job.state === 'done') entry.done('Imported.');
  else if (job.state === 'stopped') entry.keep('The import was stopped. The bundle is still in the incoming folder.');
  else entry.fail(errorText(refusal(job)));
  refresh();
}

/** Follows a bundle that lies in the incoming folder until it is imported or refused. */
async function watch(name, entry, before) {
  entry.unknown();
  let absentPolls = 0;
  for (;;) {
    let now;
    try {
      now = await api('incoming');
    } catch (error) {
      entry.setText(errorText(error));
      await delay(5000);
      continue;
    }
    if (!now.watching) {
      entry.keep('The server no longer watches the incoming folder. Import the bundle below.');
      break;
    }
    const find = (list) => list.find((one) => one.file === name);
    // A name that already exists in failed/ gets a number there.
    const stem = name.replace(/\.pkg$/, '');
    const refused = now.failed.find((one) =>
      one.file.startsWith(stem) && !before.failed.has(one.reason + one.file));
    const waiting = find(now.waiting);
    if (refused) {
      entry.fail(`Rejected: ${refused.reason}`);
      break;
    }
    if (waiting) {
      entry.keep(`Waiting: ${waiting.reason}`);
      break;
    }
    if (find(now.files) || find(now.arriving)) {
      entry.setText('Uploaded. Verifying and importing.');
      absentPolls = 0;
    } else {
      // Briefly, an imported file may be in neither list.
      absentPolls += 1;
      if (await isImported(name, now, before, absentPolls).catch(() => false)) {
        entry.done('Imported.');
        break;
      }
      if (absentPolls > 30) {
        entry.keep('The bundle left the incoming folder. See the list of imports below.');
        break;
      }
    }
    await delay(1000);
  }
  refresh();
}

// ---- Jobs ----

const KINDS = { gc: 'Cleaning up', export: 'Creating a snapshot', verify: 'Checking every file', import: 'Importing a bundle' };
let following = null;
/** The job that is shown. */
let last = null;

/** Shows a job until it is over, and what it came to. */
async function follow(job) {
  following = job.id;
  const panel = id('job');
  panel.hidden = false;
  setWrites(false);
  for (;;) {
    show(job);
    if (job.state !== 'running') break;
    await delay(700);
    try {
      job = await api(`jobs/${job.id}`);
    } catch (error) {
      if (error.status === 404) {
        id('job-status').textContent = 'The server was restarted, and the outcome of the job is unknown.';
        break;
      }
      id('job-status').textContent = errorText(error);
    }
  }
  following = null;
  setWrites(true);
  refresh();
}

function show(job) {
  last = job.id;
  id('job-title').textContent = KINDS[job.kind] ?? job.kind;
  const { progress } = job;
  const meter = id('job-progress');
  id('job-meter').hidden = job.state !== 'running';
  if (progress && (progress.bytes_total || progress.items_total)) {
    const [done, total] = progress.bytes_total
      ? [progress.bytes, progress.bytes_total] : [progress.items, progress.items_total];
    meter.value = Math.min(1, done / total);
    const items = `${progress.items.toLocaleString('en')} of ${progress.items_total.toLocaleString('en')}`;
    const bytes = progress.bytes_total ? `, ${size(progress.bytes)} of ${size(progress.bytes_total)}` : '';
    id('job-far').textContent = `${progress.phase}: ${items}${bytes}`;
  } else {
    meter.removeAttribute('value');
    id('job-far').textContent = progress?.phase ?? '';
  }
  const lines = (job.lines ?? []).join('\n');
  id('job-details').hidden = !lines;
  if (id('job-lines').textContent !== lines) id('job-lines').textContent = lines;
  showFound(job.outcome ?? {});
  showStop(job);
  const status = id('job-status');
  status.className = job.state === 'failed' || !isValid(job.outcome) ? 'wrong' : '';
  const text = jobText(job);
  if (status.textContent !== text) status.textContent = text;
}

/** The button that stops the job. One that is past where it could stop says so when it is asked. */
function showStop(job) {
  const isRunning = job.state === 'running';
  const button = id('job-stop');
  // Readers do not have this button.
  if (!button) return;
  id('job-actions').hidden = !isRunning || !isAdmin();
  button.disabled = job.stopping || !isAdmin();
  button.textContent = job.stopping ? 'Stopping at the next safe point' : 'Stop';
  if (!isRunning) id('job-stop-status').textContent = '';
}

id('job-stop')?.addEventListener('click', async () => {
  id('job-stop-status').textContent = '';
  try {
    showStop(await api(`jobs/${last}/stop`, { method: 'POST' }));
    // The button disappears when the job ends, so the focus moves.
    id('job').focus();
  } catch (error) {
    id('job-stop-status').textContent = errorText(error);
  }
});

/** What a check found, and what to do about it; the whole of it may be a thousand lines. */
function showFound(outcome) {
  const problems = outcome.problems ?? [];
  const total = outcome.problems_total ?? 0;
  const items = problems.slice(0, MAX_LISTED).map((text) => make('li', {}, text));
  const more = total - items.length;
  if (more > 0) items.push(make('li', {}, `and ${more.toLocaleString('en')} more`));
  const about = { class: 'names', tabindex: '0', role: 'region', 'aria-label': 'Problems that were found' };
  const list = make('div', about, make('ul', {}, ...items));
  const parts = items.length > 0 ? [list] : [];
  if (outcome.to_fetch) {
    // Only administrators see the command, which has the mirror's path.
    const command = id('job').dataset.repair;
    const list = command
      ? ['Run ', make('code', {}, command), ' on this server, and carry the list to the connected side.']
      : ['An administrator lists them with the option ', make('code', {}, '--repair-list'), ' of ',
        make('code', {}, 'verify'), ', and carries the list to the connected side.'];
    parts.push(make('p', {},
      `${counted(outcome.to_fetch, 'file')} must be fetched again. `, ...list, ' There, ',
      make('code', {}, 'cargo frostmirror fetch --from-list repair.jsonl'), ' fetches them.'));
  }
  id('job-found').replaceChildren(...parts);
}

/** What is said of a job that had ended before the page was opened. */
function endedJobText(job) {
  const ended = job.finished ? ` Ended at ${job.finished.slice(0, 16).replace('T', ' ')} UTC.` : '';
  return `${jobText(job)}${ended}`;
}

function jobText(job) {
  if (job.state === 'running') return 'The server continues it even if you close this page.';
  if (job.state === 'failed') return errorText(refusal(job));
  if (job.state === 'stopped') return 'Stopped.';
  const outcome = job.outcome ?? {};
  if (job.kind === 'gc') return `Done: ${gcText(outcome)}.`;
  if (job.kind === 'export') return `Done: ${outcome.file ?? 'the snapshot'} is ready below.`;
  if (job.kind === 'verify') return verifyText(outcome);
  if (job.kind === 'import') return `Done: ${outcome.file ?? 'the bundle'} is imported.`;
  return 'Done.';
}

function verifyText(outcome) {
  if (isValid(outcome)) return `Done: ${counted(outcome.crates ?? 0, 'crate')} (${size(outcome.bytes ?? 0)}) and all other files are valid.`;
  const count = outcome.problems_total ?? 0;
  return `${counted(count, 'problem')} ${count === 1 ? 'was' : 'were'} found.`;
}

const isValid = (outcome) => outcome?.ok !== false;

function gcText(outcome) {
  const parts = [`${counted(outcome.crates ?? 0, 'crate')} removed`];
  if (outcome.lines) parts.unshift(`${counted(outcome.lines, 'index line')} removed`);
  if (outcome.artifacts) parts.push(`${counted(outcome.artifacts, 'toolchain file')} removed`);
  parts.push(`${size(outcome.bytes ?? 0)} freed`);
  const remaining = (outcome.waiting ?? 0) + (outcome.artifacts_waiting ?? 0);
  if (remaining) parts.push(`${counted(remaining, 'file')} remaining for a later run`);
  return parts.join(', ');
}

// One job at a time: all buttons are disabled while one runs.
function setWrites(on) {
  const buttons = document.querySelectorAll('#export, #check, #plan, #planned button, [data-accept], [data-reject]');
  for (const button of buttons) {
    // Without a mirror these stay disabled for every client.
    const may = button.id === '' || 'write' in button.dataset;
    button.disabled = !(on && may && isAdmin());
  }
}

async function start(path, errorElement) {
  try {
    const job = await api(path, { method: 'POST' });
    follow(job);
    id('job').focus();
    id('job').scrollIntoView({ block: 'nearest' });
  } catch (error) {
    errorElement.replaceChildren(make('p', { class: 'wrong', role: 'alert' }, errorText(error)));
  }
}

// ---- Bundles that are not imported, and snapshots ----

/** What a button in a row does: method, path below the API, and what is said afterwards. */
const ACTS = {
  import: (name) => ['POST', `incoming/${name}/import`, ''],
  retry: (name) => ['POST', `incoming/failed/${name}/retry`, 'Moved back to the incoming folder.'],
  dismiss: (name) => ['POST', `incoming/failed/${name}/dismiss`, 'Dismissed. The bundle stays in failed/.'],
  delete: (name) => ['DELETE', `incoming/failed/${name}`, 'Deleted.'],
  'delete-snapshot': (name) => ['DELETE', `export/${name}`, 'Deleted.'],
};

async function act(button, status) {
  const { act: action, file } = button.dataset;
  // A deletion is final: the button asks for a second press.
  if (action.startsWith('delete') && !button.dataset.sure) {
    button.dataset.sure = 'true';
    button.textContent = 'Delete permanently';
    return;
  }
  const [method, path, message] = ACTS[action](encodeURIComponent(file));
  button.disabled = true;
  status.className = '';
  status.textContent = '';
  try {
    const answer = await api(path, { method });
    const job = answer?.job ?? (answer?.kind ? answer : null);
    if (job) {
      follow(job);
      id('job').focus();
    } else {
      status.textContent = [`${file}: ${message}`, answer?.hint].filter(Boolean).join(' ');
    }
  } catch (error) {
    status.className = 'wrong';
    status.textContent = `${file}: ${errorText(error)}`;
  }
  button.disabled = false;
  refresh();
}

for (const [listId, statusId] of [['pending-bundles', 'pending-bundles-status'], ['exports', 'exports-status']]) {
  id(listId).addEventListener('click', (event) => {
    const button = event.target.closest('button[data-act]');
    if (button) act(button, id(statusId));
  });
}

// ---- Snapshots ----

const exportStatus = make('div');
id('export')?.parentElement.after(exportStatus);
id('export')?.addEventListener('click', () => {
  exportStatus.replaceChildren();
  start('export', exportStatus);
});

// ---- Checking ----

id('check')?.addEventListener('click', () => {
  id('check-status').replaceChildren();
  start('verify', id('check-status'));
});

// ---- Cleaning up ----

const planElement = id('planned');
id('plan')?.addEventListener('click', () => plan(null));
id('histories').addEventListener('click', (event) => {
  const button = event.target.closest('button[data-accept], button[data-reject]');
  if (button) plan(button);
});

/** Shows the plan; if `decision` is a button of a doubtful bundle, the plan after its acceptance or rejection. */
async function plan(decision) {
  const { accept, reject } = decision?.dataset ?? {};
  const query = new URLSearchParams(accept ? { accept } : reject ? { reject } : {}).toString();
  planElement.replaceChildren(make('p', { role: 'status' }, 'Looking…'));
  try {
    showPlan(await api(`gc?dry_run=true&${query}`, { method: 'POST' }), query);
  } catch (error) {
    planElement.replaceChildren(make('p', { class: 'wrong', role: 'alert' }, errorText(error)));
  }
  planElement.focus();
  planElement.scrollIntoView({ block: 'nearest' });
}

/** A bundle by its number. Greater numbers are times in seconds, of histories that do not count their bundles. */
function bundleName(sequence) {
  return sequence < 1e9 ? `Bundle number ${sequence}` : `The bundle of ${new Date(sequence * 1000).toISOString().slice(0, 19)}Z`;
}

/** How many of a list are named; the whole of it may have a hundred thousand. */
const MAX_LISTED = 200;

function showPlan(plan, query) {
  const removals = [
    ['Index lines', plan.lines.map((one) => `${one.name} ${one.version}`), 'cargo no longer finds these versions'],
    ['Crates', plan.crates.map((one) => `${one.file} (${size(one.size)})`), ''],
    ['Toolchain files', plan.artifacts.map((one) => `${one.file} (${size(one.size)})`), ''],
  ].filter(([, list]) => list.length);
  const pending = [...plan.waiting, ...plan.artifacts_waiting];
  const parts = [];
  const accepted = plan.lineages.find((one) => one.accepted);
  if (accepted) {
    parts.push(make('p', {},
      `${bundleName(accepted.sequence)} becomes the newest of its history. Its id is `, make('code', {}, accepted.bundle), '.'));
  }
  const rejected = plan.rejected ?? [];
  for (const one of rejected) {
    const why = one.unconnected ? ', because it does not lead to the accepted bundle' : '';
    parts.push(make('p', {},
      `${bundleName(one.sequence)} no longer counts${why}. Its id is `, make('code', {}, one.bundle), '.'));
  }
  const decided = accepted || rejected.length;
  if (!removals.length && !pending.length && decided) {
    parts.push(make('p', {}, 'Nothing to remove.'));
  } else if (!removals.length && !pending.length) {
    parts.push(make('p', {}, 'Nothing to remove: the newest bundle of a history or live mode needs every file.'));
  } else if (!removals.length) {
    parts.push(make('p', {}, 'Nothing to remove now.'));
  } else {
    parts.push(make('p', {}, plan.bytes ? `This would free ${size(plan.bytes)}:` : 'To remove:'));
  }
  for (const [name, list, about] of removals) parts.push(listed(name, list, about));
  if (pending.length) {
    const until = pending.map((one) => one.until).sort().at(-1);
    const about = `their index lines are removed; clients can still fetch the files until ${until.slice(0, 16).replace('T', ' ')} UTC`;
    parts.push(listed('To remove by a later run', pending.map((one) => `${one.file} (${size(one.size)})`), about));
  }
  if (plan.live?.crates || plan.live?.artifacts) parts.push(livePart(plan.live));
  if (plan.unrecognized.length) {
    parts.push(listed('Unrecognized files (kept)', plan.unrecognized, ''));
  }
  if (removals.length || decided) {
    const verb = accepted ? 'Accept it' : 'Reject it';
    const label = decided ? (removals.length ? `${verb} and remove these` : verb) : 'Remove these';
    const confirm = make('button', { type: 'button', class: 'danger' }, label);
    const cancel = make('button', { type: 'button' }, 'Keep everything');
    const status = make('div');
    confirm.addEventListener('click', () => {
      planElement.replaceChildren(status);
      start(query ? `gc?${query}` : 'gc', status);
    });
    cancel.addEventListener('click', () => {
      planElement.replaceChildren();
      id('plan').focus();
    });
    if (removals.length) parts.push(make('p', {}, 'To restore a removed file, import a bundle that contains it.'));
    parts.push(make('div', { class: 'actions' }, confirm, cancel));
  }
  planElement.replaceChildren(...parts);
}

/** Files of live mode stay unless the user forgets them. */
function livePart({ crates, artifacts = 0, bytes }) {
  const contents = [[crates, 'crate'], [artifacts, 'toolchain file']].filter(([number]) => number).map(([number, one]) => counted(number, one));
  return make('p', {},
    `Files of live mode stay: ${contents.join(' and ')} (${size(bytes)}). `,
    make('code', {}, 'cargo frostmirror gc --forget live'), ', on this server, removes them.');
}

function listed(name, list, about) {
  const items = list.slice(0, MAX_LISTED).map((text) => make('li', {}, text));
  if (list.length > MAX_LISTED) items.push(make('li', {}, `and ${(list.length - MAX_LISTED).toLocaleString('en')} more`));
  const heading = `${name}: ${list.length.toLocaleString('en')}${about ? ` – ${about}` : ''}`;
  return make('details', {}, make('summary', {}, heading), make('ul', { class: 'names' }, ...items));
}

// ---- At the beginning ----

/** Shows the running job, also one that another client started. */
async function showCurrentJob() {
  if (following !== null) return;
  const jobs = (await api('jobs').catch(() => null))?.jobs ?? [];
  if (following !== null) return;
  const running = jobs.find((job) => job.state === 'running');
  if (running) {
    follow(running);
  } else if (jobs.length && jobs[0].id !== last) {
    // A user who returns after its end sees the outcome.
    show(jobs[0]);
    id('job-status').textContent = endedJobText(jobs[0]);
    id('job').hidden = false;
  }
}

prepareUploads();
showCurrentJob();
document.addEventListener('refreshed', showCurrentJob);
