(() => {
  "use strict";
  const $ = (id) => document.getElementById(id);
  const columns = DATA ? DATA.columns : [], rows = DATA ? DATA.rows : [];
  const at = Object.fromEntries(columns.map((name, i) => [name, i]));
  const scores = DATA ? DATA.scores : [], score = scores[0]; // several where there are several objectives
  const PAGE = 100;
  const show = (v) => v === null ? "–" : v === true ? "yes" : v === false ? "no"
    : typeof v === "number" && !Number.isInteger(v) ? String(+v.toPrecision(4)) : String(v);

  // pictures and dots: the molecule under the pointer
  const tip = $("tip");
  const place = (event) => {
    const x = event.clientX + 16, y = event.clientY + 12;
    tip.style.left = Math.min(x, innerWidth - tip.offsetWidth - 8) + "px";
    tip.style.top = Math.min(y, innerHeight - tip.offsetHeight - 8) + "px";
  };
  const cardOf = (row) => document.getElementById("m" + row[at.call]);
  for (const chart of document.querySelectorAll(".chart")) {
    chart.addEventListener("mousemove", (event) => {
      const row = event.target.dataset && rows[event.target.dataset.row];
      tip.hidden = !row;
      if (!row) return;
      const card = cardOf(row);
      tip.textContent = "";
      if (card) tip.append(card.querySelector("svg").cloneNode(true));
      const text = document.createElement("div");
      text.textContent = `${scores.map((i) => show(row[i])).join(" / ")} · call ${row[at.call]}` +
        (at.proposer === undefined ? "" : ` · ${show(row[at.proposer])}`) + ` · ${row[at.smiles]}`;
      tip.append(text);
      place(event);
    });
    chart.addEventListener("mouseleave", () => { tip.hidden = true; });
    chart.addEventListener("click", (event) => {
      const row = event.target.dataset && rows[event.target.dataset.row];
      if (!row) return;
      const card = cardOf(row);
      if (card) { location.hash = card.id; } else { $("filter").value = row[at.smiles]; draw(); $("all").scrollIntoView(); }
    });
  }

  // a click on a SMILES copies it
  const copy = (text) => {
    if (navigator.clipboard && isSecureContext) return navigator.clipboard.writeText(text);
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  };
  for (const button of document.querySelectorAll(".smiles")) {
    button.addEventListener("click", () => {
      const smiles = button.textContent;
      copy(smiles);
      button.textContent = "copied";
      setTimeout(() => { button.textContent = smiles; }, 700);
    });
  }

  // the table: sort by a click on a head, filter, save
  if (!rows.length) return;
  $("all").hidden = false;
  let by = score, down = true, shown = PAGE;
  const numeric = columns.map((_, i) => rows.some((row) => typeof row[i] === "number"));
  const compare = (a, b) => {
    const x = a[by], y = b[by];
    if (x === null || y === null) return (x === null) - (y === null); // missing values last, whichever way
    return (x < y ? -1 : x > y ? 1 : 0) * (down ? -1 : 1);
  };
  const chosen = () => {
    const part = $("filter").value.trim().toLowerCase(), least = parseFloat($("least").value);
    return rows.filter((row) => (isNaN(least) || (row[score] !== null && row[score] >= least))
      && (!part || row.some((v) => v !== null && String(v).toLowerCase().includes(part)))).sort(compare);
  };
  const draw = () => {
    const found = chosen(), [head] = $("molecules").tHead.rows, [body] = $("molecules").tBodies;
    [...head.cells].forEach((cell, i) => { cell.textContent = columns[i] + (i === by ? (down ? " ↓" : " ↑") : ""); });
    body.textContent = "";
    for (const row of found.slice(0, shown)) {
      const line = body.insertRow();
      row.forEach((v, i) => {
        const cell = line.insertCell();
        cell.textContent = show(v);
        cell.className = i === at.smiles ? "s" : numeric[i] ? "n" : "";
      });
    }
    $("count").textContent = `${found.length.toLocaleString()} of ${rows.length.toLocaleString()} molecules`;
    $("more").hidden = found.length <= shown;
  };
  const head = $("molecules").tHead.insertRow();
  columns.forEach((name, i) => {
    const cell = document.createElement("th");
    cell.className = numeric[i] ? "n" : "";
    cell.addEventListener("click", () => { down = i === by ? !down : numeric[i]; by = i; draw(); });
    head.append(cell);
  });
  const again = () => { shown = PAGE; draw(); };
  $("filter").addEventListener("input", again);
  $("least").addEventListener("input", again);
  $("more").addEventListener("click", () => { shown += 5 * PAGE; draw(); });
  $("download").addEventListener("click", () => {
    const quote = (v) => v === null ? "" : /[",\n]/.test(String(v)) ? `"${String(v).replaceAll('"', '""')}"` : String(v);
    const text = [columns, ...chosen()].map((row) => row.map(quote).join(",")).join("\n") + "\n";
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "molecules.csv";
    link.click();
  });
  draw();
})();
