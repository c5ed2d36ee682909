"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const form = document.getElementById("find");
  const text = document.getElementById("find-text");
  const status = document.getElementById("find-status");
  const component = document.getElementById("find-component");
  const count = document.getElementById("find-count");
  const button = document.getElementById("open-all");
  form.hidden = false;

  const tree = document.querySelector(".tree");
  const folders = tree ? all("details", tree) : [];
  const groups = all("details.rest");
  const wasOpen = new Map(all("details").map((d) => [d, d.open]));

  const pathOf = (item) => {
    const names = [];
    for (let at = item; at && at !== tree; at = at.parentElement) {
      if (at.tagName === "LI") names.unshift(at.querySelector(".p")?.textContent ?? "");
    }
    return names.join("");
  };
  const items = all(".it").map((item) => {
    const file = tree !== null && tree.contains(item);
    return { item, file, text: null };
  });
  const textOf = (entry) => {
    entry.text ??= (entry.file ? pathOf(entry.item) : entry.item.textContent).toLowerCase();
    return entry.text;
  };

  const find = () => {
    const wanted = text.value.trim().toLowerCase();
    const kind = status.value;
    const part = component.value;
    const active = wanted !== "" || kind !== "" || part !== "*";
    let found = 0;
    let files = 0;
    for (const entry of items) {
      const data = entry.item.dataset;
      const shown =
        (kind === "" || data.s === kind) &&
        (part === "*" || data.c === part || (data.c === undefined && wanted !== "")) &&
        (wanted === "" || textOf(entry).includes(wanted));
      entry.item.hidden = !shown;
      if (entry.file) {
        files += 1;
        found += shown;
      }
    }
    // The innermost come last: each is judged after what is in it.
    for (const folder of folders.slice().reverse()) {
      const there = !active || all(":scope > ul > li", folder).some((li) => !li.hidden && !li.classList.contains("more"));
      folder.parentElement.hidden = !there;
      folder.open = active ? there : wasOpen.get(folder);
    }
    for (const rest of groups) {
      const there = all(".it", rest).some((item) => !item.hidden);
      rest.hidden = !there;
      rest.open = active ? there : wasOpen.get(rest);
    }
    count.textContent = active ? `${found.toLocaleString("en")} of ${files.toLocaleString("en")} paths` : "";
  };

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(find, 120);
  };
  form.addEventListener("submit", (event) => event.preventDefault());
  text.addEventListener("input", soon);
  for (const field of [status, component]) field.addEventListener("change", find);
  // Browsers remember fields when a page is loaded again.
  form.reset();

  button.addEventListener("click", () => {
    const open = button.textContent === "Open all";
    for (const d of all("details")) d.open = open;
    button.textContent = open ? "Close all" : "Open all";
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, textarea");
    if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      text.focus();
    } else if (event.key === "Escape" && event.target === text) {
      text.value = "";
      find();
    }
  });

  // On paper nothing can be opened: print all of it, and leave the screen as it was.
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = all("details:not([open])");
    for (const d of closed) d.open = true;
  });
  addEventListener("afterprint", () => {
    for (const d of closed) d.open = false;
    closed = [];
  });

  const reveal = () => {
    const id = location.hash.slice(1);
    const target = id && document.getElementById(id);
    if (target && target.tagName === "DETAILS") {
      target.hidden = false;
      for (let at = target; at; at = at.parentElement) {
        if (at.tagName === "DETAILS") at.open = true;
      }
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", reveal);
  reveal();
})();
