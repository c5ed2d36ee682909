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
  // Names alone stand in lists, one for each kind of change in a directory.
  const lists = all(".nm > ul");
  const items = all(".it").map((item) => {
    const list = item.closest(".nm > ul");
    const file = list !== null || (tree !== null && tree.contains(item));
    const text = list && (list.parentElement.firstElementChild.textContent + item.textContent).toLowerCase();
    return { item, file, text, data: (list ?? item).dataset };
  });
  const leftOut = Number(form.dataset.left ?? 0);
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
      const data = entry.data;
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
    for (const list of lists) {
      list.hidden = ![...list.children].some((item) => !item.hidden);
      list.previousElementSibling.hidden = list.hidden;
    }
    for (const line of all(".nm")) line.hidden = !line.querySelector("ul:not([hidden])");
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
    const missing = leftOut > 0 ? `; ${leftOut.toLocaleString("en")} more are not on this page` : "";
    count.textContent = active ? `${found.toLocaleString("en")} of ${files.toLocaleString("en")} paths${missing}` : "";
    mark(-1);
    hits = wanted === "" ? [] : items.filter((entry) => !entry.item.hidden).map((entry) => entry.item);
  };

  // Where the text was found, in the order of the page; Enter goes on to the next.
  let hits = [];
  let at = -1;
  const mark = (to) => {
    hits[at]?.classList.remove("hit");
    at = to;
    if (hits[at]) {
      hits[at].classList.add("hit");
      for (let up = hits[at].parentElement; up; up = up.parentElement) {
        if (up.tagName === "DETAILS") up.open = true;
      }
      hits[at].scrollIntoView({ block: "center" });
    }
  };
  const bar = document.querySelector("nav");
  const stays = () => getComputedStyle(bar).position === "sticky";
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [sheet];
  const measure = () => {
    sheet.replaceSync(`html { scroll-padding-top: ${stays() ? bar.offsetHeight + 8 : 8}px; }`);
  };
  new ResizeObserver(measure).observe(bar);
  addEventListener("resize", measure);
  measure();

  let waiting = 0;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      find();
      // Where the bar scrolls away, the field would go with it while one types.
      if (stays()) mark(hits.length ? 0 : -1);
    }, 120);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (hits.length) mark((at + 1) % hits.length);
  });
  text.addEventListener("input", soon);
  for (const field of [status, component]) field.addEventListener("change", find);
  // Browsers remember fields when a page is loaded again.
  form.reset();

  button.addEventListener("click", () => {
    const open = button.textContent === "Open all";
    button.textContent = open ? "Close all" : "Open all";
    document.body.classList.toggle("all", open);
    const todo = all("details").filter((d) => d.open !== open);
    // Some at a time, so that the page answers meanwhile.
    const some = () => {
      for (const d of todo.splice(0, 200)) d.open = open;
      if (todo.length) setTimeout(some, 0);
    };
    some();
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
