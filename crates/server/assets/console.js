// What the console does beyond forms and links: says whether the page is live, marks what changed, and a few single keys.
// Every page works without it.
(() => {
  'use strict';

  // ---- live or as of ----
  const state = document.getElementById('live-state');
  let lastMessage = 0;
  const say = (live) => {
    const text = state?.querySelector('.live-text');
    state?.classList.toggle('live-state-on', live);
    if (text) text.textContent = live ? 'Live,' : 'As of';
  };
  document.addEventListener('htmx:sse:after:message', () => { lastMessage = Date.now(); say(true); });
  document.addEventListener('htmx:sse:error', () => say(false));
  document.addEventListener('htmx:sse:close', () => say(false));
  setInterval(() => { if (lastMessage && Date.now() - lastMessage > 5000) say(false); }, 1000);

  // ---- marks a swapped region for two seconds ----
  document.addEventListener('htmx:before:swap', (event) => {
    for (const task of event.detail?.tasks ?? []) {
      const target = task.target;
      if (!target || target.id === 'clock' || target.id === 'rail') continue;
      target.classList.add('changed');
      setTimeout(() => document.getElementById(target.id)?.classList.remove('changed'), 2000);
    }
  });

  // ---- keys; they never act, they only go somewhere ----
  const places = { h: '/', o: '/orders', e: '/exceptions', s: '/systems', b: '/break' };
  let going = false;
  document.addEventListener('keydown', (event) => {
    const field = event.target.closest?.('input, textarea, select, [contenteditable]');
    if (field || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === '/') {
      event.preventDefault();
      (document.getElementById('find') ?? document.getElementById('q'))?.focus();
    } else if (going && places[event.key]) {
      location.href = places[event.key];
    } else if (event.key === 'j' || event.key === 'k') {
      const links = [...document.querySelectorAll('tbody th[scope="row"] a')];
      const at = links.indexOf(document.activeElement);
      links[event.key === 'j' ? Math.min(at + 1, links.length - 1) : Math.max(at - 1, 0)]?.focus();
    }
    going = event.key === 'g';
  });
})();
