// What the page looks like, as numbers: contrast of text and of controls, and what is wider than the window.
// It is the body of a function; what it returns is a list of what is wrong.

const wrong = [];
const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });

/** Any computed colour as [red, green, blue, alpha]. */
function parse(colour) {
  const found = /^rgba?\(([\d.]+), ([\d.]+), ([\d.]+)(?:, ([\d.]+))?\)$/.exec(colour);
  if (found) return [+found[1], +found[2], +found[3], found[4] === undefined ? 1 : +found[4]];
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = colour;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
}

const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);

/** What is seen behind the content of an element: the backgrounds from the window on, one over the other. */
function behind(element) {
  const layers = [];
  for (let at = element; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.backgroundImage !== 'none') wrong.push(`${told(at)} has a picture behind its text, which no check measures`);
    layers.push(parse(style.backgroundColor));
  }
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  return layers.reduceRight((below, layer) => over(layer, below), dark ? [18, 18, 18, 1] : [255, 255, 255, 1]);
}

function luminance([red, green, blue]) {
  const [r, g, b] = [red, green, blue].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(one, other) {
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function told(element) {
  const id = element.id ? `#${element.id}` : '';
  const classes = [...element.classList].map((name) => `.${name}`).join('');
  return `${element.nodeName.toLowerCase()}${id}${classes} (${element.textContent.trim().replaceAll(/\s+/g, ' ').slice(0, 40)})`;
}

/** Whether an element is drawn; what is for screen readers alone is cut away. */
function drawn(element) {
  for (let at = element; at; at = at.parentElement) {
    const style = getComputedStyle(at);
    if (style.clipPath === 'inset(50%)' || style.visibility !== 'visible') return false;
  }
  return element.getClientRects().length > 0;
}

function opacity(element) {
  let all = 1;
  for (let at = element; at; at = at.parentElement) all *= +getComputedStyle(at).opacity;
  return all;
}

let texts = 0;
const nodes = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
for (let node = nodes.nextNode(); node; node = nodes.nextNode()) {
  const element = node.parentElement;
  const range = document.createRange();
  range.selectNodeContents(node);
  if (!node.data.trim() || !range.getClientRects().length || !drawn(element)) continue;
  texts += 1;
  const back = behind(element);
  const ink = parse(getComputedStyle(element).color);
  ink[3] *= opacity(element);
  const reached = contrast(over(ink, back), back);
  if (reached < 4.5) wrong.push(`text ${told(element)}: ${reached.toFixed(2)}`);
}
if (texts < 10) wrong.push(`only ${texts} texts are measured`);

for (const control of document.querySelectorAll('button, input, select, textarea, .jump a, .files a')) {
  if (!drawn(control) || ['checkbox', 'radio', 'range'].includes(control.type)) continue;
  const style = getComputedStyle(control);
  const around = behind(control.parentElement);
  const fill = over(parse(style.backgroundColor), around);
  const border = parse(style.borderTopColor);
  const edges = [contrast(fill, around)];
  if (parseFloat(style.borderTopWidth) > 0 && style.borderTopStyle !== 'none') edges.push(contrast(over(border, around), around));
  const reached = Math.max(...edges);
  if (reached < 3) wrong.push(`edge of ${told(control)}: ${reached.toFixed(2)}`);
  if (control.placeholder) {
    const ink = parse(getComputedStyle(control, '::placeholder').color);
    const told = contrast(over(ink, fill), fill);
    if (told < 4.5) wrong.push(`placeholder ${control.placeholder}: ${told.toFixed(2)}`);
  }
}

for (const one of document.querySelectorAll('#imports > .scroll, #pending-bundles > .scroll')) {
  if (one.scrollWidth > one.clientWidth) wrong.push(`${told(one)} scrolls sideways: ${one.scrollWidth} of ${one.clientWidth}`);
}
const { scrollWidth, clientWidth } = document.documentElement;
if (scrollWidth > clientWidth) {
  const wide = [...document.querySelectorAll('body *')].filter((element) => element.getBoundingClientRect().right > clientWidth + 1);
  wrong.push(`the page is ${scrollWidth} wide in a window of ${clientWidth}: ${wide.slice(0, 5).map(told).join(', ')}`);
}
return wrong;
