// The theme wraps wide tables after the page is there. Somebody without a mouse must be able to scroll them.
new MutationObserver(() => {
  for (const wrap of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    wrap.tabIndex = 0;
  }
}).observe(document.documentElement, { childList: true, subtree: true });
