// Everything works without this. It adds: refresh in place, a crosshair, keys, copy buttons.
(() => {
  "use strict";
  const $ = (s, r = document) => r.querySelector(s), $$ = (s, r = document) => [...r.querySelectorAll(s)];
  const svgNS = "http://www.w3.org/2000/svg";
  const clock = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", timeZone: document.documentElement.dataset.zone });
  let charts = [];

  // The charts of one page move their crosshairs together, as far as their times overlap.
  const show = (t, say) => charts.forEach(c => {
    const i = Math.round((t - c.d.t0) / c.d.dt);
    if (i < 0 || i >= c.d.n) return rest(c);
    const x = (i * c.d.dt / c.d.w * 100).toFixed(2) + "%";
    c.i = i;
    c.line.setAttribute("x1", x); c.line.setAttribute("x2", x); c.line.setAttribute("visibility", "visible");
    if (!c.read) return;
    c.read.textContent = clock.format((c.d.t0 + i * c.d.dt) * 1e3) + " · " + (c.d.s.filter(s => s.v[i]).map(s => s.n + " " + s.v[i]).join(" · ") || "no event");
    if (say === c) $("#say").textContent = c.read.textContent;
  });
  const rest = c => { c.line.setAttribute("visibility", "hidden"); if (c.read) c.read.replaceChildren(...c.was); };
  const start = () => {
    charts = $$("svg.p[data-j]").map(svg => {
      const d = JSON.parse($("#" + svg.dataset.j).textContent), read = $(".read", svg.closest("figure"));
      const line = document.createElementNS(svgNS, "line");
      for (const [k, v] of [["class", "xh"], ["y1", 0], ["y2", svg.dataset.h], ["visibility", "hidden"]]) line.setAttribute(k, v);
      svg.append(line);
      svg.tabIndex = 0;
      const c = { d, read, line, was: read ? [...read.childNodes] : [] };
      svg.addEventListener("pointermove", e => { const b = svg.getBoundingClientRect(); show(d.t0 + (e.clientX - b.left) / b.width * d.w); });
      for (const n of ["pointerleave", "blur"]) svg.addEventListener(n, () => charts.forEach(rest));
      svg.addEventListener("keydown", e => {
        const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -12, PageDown: 12, Home: -d.n, End: d.n }[e.key];
        if (!by) return;
        e.preventDefault();
        show(d.t0 + Math.max(0, Math.min(d.n - 1, (c.i ?? d.n - 1) + by)) * d.dt, c);
      });
      return c;
    });
    $$("[data-copy]").forEach(b => b.hidden = !navigator.clipboard);
  };

  let row = -1;
  addEventListener("keydown", e => {
    if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(e.target.tagName)) return;
    if (e.key === "/") { e.preventDefault(); $("#q").focus(); }
    if (e.key === "j" || e.key === "k") {
      const links = $$("table.slo tbody th a");
      row = Math.max(0, Math.min(links.length - 1, row + (e.key === "j" ? 1 : -1)));
      links[row]?.focus();
    }
  });
  addEventListener("click", async e => {
    const b = e.target.closest("[data-copy]");
    if (b) { await navigator.clipboard.writeText($("#" + b.dataset.copy).textContent); b.textContent = "Copied"; }
  });

  // The same address again; an unchanged page is a 304 and touches nothing.
  const live = $("#live");
  let etag;
  const tick = async () => {
    if (live.getAttribute("aria-pressed") !== "true" || document.hidden || $("input:focus, select:focus, main svg.p:focus, [data-draft]")) return;
    const r = await fetch(location.href, { headers: etag ? { "If-None-Match": etag, Accept: "text/html" } : { Accept: "text/html" } }).catch(() => 0);
    if (r && r.status === 401) return location.reload();
    if (!r || r.status !== 200) return;
    etag = r.headers.get("ETag");
    const next = new DOMParser().parseFromString(await r.text(), "text/html"), open = $$("details[open]").map(x => x.id);
    if (next.title !== document.title) { document.title = next.title; $("#say").textContent = next.title; }
    $("link[rel=icon]").href = $("link[rel=icon]", next).getAttribute("href");
    const focus = document.activeElement?.getAttribute("href");
    $("main").replaceWith($("main", next));
    for (const id of open) $("#" + id)?.setAttribute("open", "");
    if (focus) $$("main a").find(a => a.getAttribute("href") === focus)?.focus();
    start();
  };
  live.hidden = false;
  live.addEventListener("click", () => {
    const on = live.getAttribute("aria-pressed") !== "true";
    live.setAttribute("aria-pressed", on);
    live.textContent = on ? "Live: on" : "Live: paused";
  });
  setInterval(tick, 1e4);
  start();
})();
