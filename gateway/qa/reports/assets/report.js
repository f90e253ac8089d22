// The filter of the calls, and details that open for a link, for paper and for "open all". Without it the page shows everything.
"use strict";
(() => {
  const filter = document.getElementById("filter");
  const rows = [...document.querySelectorAll("#calls-table tbody tr")];
  if (filter && rows.length) {
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const shown = filter.querySelector("output");
    const show = () => {
      const words = filter.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      const outcome = filter.elements.outcome.value;
      const onlyFound = filter.elements.found.checked;
      let count = 0;
      rows.forEach((row, index) => {
        const fits = (!outcome || row.dataset.outcome === outcome) && (!onlyFound || row.dataset.found === "1") &&
          words.every((word) => texts[index].includes(word));
        row.hidden = !fits;
        count += fits;
      });
      shown.textContent = `${count} of ${rows.length} shown`;
    };
    filter.hidden = false;
    filter.addEventListener("input", show);
    filter.addEventListener("submit", (event) => event.preventDefault());
    document.addEventListener("keydown", (event) => {
      if (event.key === "/" && !event.ctrlKey && !event.metaKey && !event.altKey && !/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) {
        event.preventDefault();
        filter.elements.words.focus();
      }
    });
    show();
    // A link to a call that the filter hides shows it.
    const target = () => {
      const row = location.hash && document.getElementById(location.hash.slice(1));
      if (row && row.hidden) {
        filter.reset();
        show();
        row.scrollIntoView();
      }
      for (let each = row; each; each = each.parentElement) {
        if (each.tagName === "DETAILS") each.open = true;
      }
    };
    addEventListener("hashchange", target);
    target();
  }
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((each) => { each.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((each) => { each.open = false; }));
})();
