"use strict";

// --- tables: a button in every heading sorts by the values of its column -------------------------

const tables = [...document.querySelectorAll("figure.table")];

function keyOf(cell, isNumber) {
  if (!isNumber) return cell.textContent.trim() || null;
  return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
}

function compared(one, other) {
  return typeof one === "number" ? one - other : one.localeCompare(other, "en", { numeric: true });
}

function sortBy(heading) {
  const headings = heading.parentElement.cells;
  const body = heading.closest("table").tBodies[0];
  const column = heading.cellIndex;
  const isNumber = [...body.rows].some((row) => row.cells[column].dataset.value !== undefined);
  const isDescending = isNumber && heading.dataset.better !== "lower"; // the best comes first
  const [first, other] = isDescending ? ["descending", "ascending"] : ["ascending", "descending"];
  const order = heading.getAttribute("aria-sort") === first ? other : first;
  for (const each of headings) each.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", order);
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...body.rows].map((row) => ({ row, key: keyOf(row.cells[column], isNumber) }));
  rows.sort((a, b) => {
    if (a.key === null || b.key === null) return (a.key === null) - (b.key === null); // what is not there comes last
    return sign * compared(a.key, b.key);
  });
  body.append(...rows.map(({ row }) => row));
}

function makeSortable(figure, number) {
  const table = figure.querySelector("table");
  const caption = figure.querySelector("figcaption");
  if (caption) {
    caption.id = `table-${number}`;
    table.setAttribute("aria-labelledby", caption.id);
  }
  if (table.tBodies[0].rows.length < 2) return;
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sortBy(heading));
  }
}

tables.forEach(makeSortable);

const widths = new ResizeObserver((entries) => {
  for (const { target } of entries) target.parentElement.classList.toggle("wide", target.scrollWidth > target.clientWidth);
});
for (const box of document.querySelectorAll(".scroll")) {
  if (!box.querySelector("button")) box.tabIndex = 0; // what scrolls must be reached by the keyboard
  widths.observe(box);
}

addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});

// --- the map -------------------------------------------------------------------------------------

const NONE = 0xffff;
const WIDTH_OF_ANSWER = 8; // frame, five retrieved frames, rank of the first right place, flags
const N_NEAREST = 5;
const MARGIN = 22;
const NEAR = 18; // pixels around a mark in which a pointer means it
const SHAPES = {
  hit: "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z",
  miss: "M-3.5-3.5L3.5 3.5M-3.5 3.5L3.5-3.5",
  none: "M-3-3H3V3H-3z",
};
const SAID = { hit: "first place right", miss: "first place wrong", none: "no right place exists" };
const STEPS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, PageDown: 10, PageUp: -10 };

function svgOf(name, attributes, parent) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (parent) parent.append(made);
  return made;
}

function numbersOf(text) {
  const bytes = atob(text);
  const found = [];
  for (let i = 0; i < bytes.length; i += 2) found.push(bytes.charCodeAt(i) | (bytes.charCodeAt(i + 1) << 8));
  return found;
}

function queriesOf(text) {
  const numbers = numbersOf(text);
  const found = [];
  for (let i = 0; i < numbers.length; i += WIDTH_OF_ANSWER) {
    const [frame, a, b, c, d, e, rank, flags] = numbers.slice(i, i + WIDTH_OF_ANSWER);
    const top = [a, b, c, d, e].filter((place) => place !== NONE);
    const kind = rank === 0 ? "none" : rank === 1 ? "hit" : "miss";
    found.push({ frame, top, rank, kind, nRight: flags >> 5, isRight: (place) => Boolean(flags & (1 << place)) });
  }
  return found;
}

class QueryMap {
  constructor(boards) {
    this.boards = boards;
    this.active = 0;
    this.width = 0;
    this.at = Object.fromEntries(
      ["box", "off", "board", "run", "direction", "pair", "counts", "svg", "status", "places"].map((name) => [
        name,
        document.getElementById(`map-${name}`),
      ]),
    );
    this.at.box.hidden = false;
    this.at.off.hidden = true;
    this.fill(this.at.board, boards.map((board) => board.title));
    for (const name of ["board", "run", "direction", "pair"]) {
      this.at[name].addEventListener("change", () => this.choose());
    }
    this.at.svg.addEventListener("pointermove", (event) => this.point(event, false));
    this.at.svg.addEventListener("pointerdown", (event) => this.point(event, true));
    this.at.svg.addEventListener("keydown", (event) => this.press(event));
    this.at.svg.addEventListener("focusin", (event) => this.show(Number(event.target.dataset.number)));
    this.choose();
    new ResizeObserver(() => this.draw()).observe(this.at.svg.parentElement);
  }

  /** Options of a select; what was chosen stays chosen where it is still there. */
  fill(select, labels, names = labels) {
    const before = select.value;
    select.replaceChildren(...labels.map((label, number) => new Option(label, names[number])));
    select.selectedIndex = Math.max(names.indexOf(before), 0);
  }

  drive(number) {
    const [name, condition] = this.board.traversals[number];
    return `${name} (${condition})`;
  }

  choose() {
    this.board = this.boards[this.at.board.selectedIndex];
    this.fill(this.at.run, this.board.runs.map((run) => run.label), this.board.runs.map((run) => run.name));
    const run = this.board.runs[this.at.run.selectedIndex];
    const directions = Object.keys(run.answers);
    this.fill(this.at.direction, directions.map((direction) => direction.replace("->", "→")));
    this.fill(this.at.pair, this.board.pairs.map(([query, database]) => `${this.drive(query)} → ${this.drive(database)}`));
    this.pair = this.board.pairs[this.at.pair.selectedIndex];
    this.queries = queriesOf(run.answers[directions[this.at.direction.selectedIndex]][this.at.pair.selectedIndex]);
    const n = { hit: 0, miss: 0, none: 0 };
    for (const query of this.queries) n[query.kind] += 1;
    const every = this.board.step > 1 ? ` One query in ${this.board.step} is shown.` : "";
    this.at.counts.textContent =
      `${this.queries.length} queries: ${n.hit} right, ${n.miss} wrong, ${n.none} without a right place.` +
      `${every} Run ${run.id}.`;
    this.active = Math.max(this.queries.findIndex((query) => query.kind === "miss"), 0);
    this.width = 0;
    this.draw();
  }

  /** Where frames are drawn: all of both drives in view, one scale for east and north. */
  place() {
    const { east, north, traversal } = this.board.frames;
    const shown = [...traversal.keys()].filter((frame) => this.pair.includes(traversal[frame]));
    const ends = (values) => {
      const found = shown.map((frame) => values[frame]);
      return [Math.min(...found), Math.max(...found)];
    };
    const [west, eastmost] = ends(east);
    const [south, northmost] = ends(north);
    const wide = this.width - 2 * MARGIN;
    this.scale = Math.min(wide / Math.max(eastmost - west, 1), (460 - 2 * MARGIN) / Math.max(northmost - south, 1));
    this.height = Math.max((northmost - south) * this.scale, 60) + 2 * MARGIN + 20;
    const begin = MARGIN + (wide - (eastmost - west) * this.scale) / 2;
    this.x = (frame) => begin + (east[frame] - west) * this.scale;
    this.y = (frame) => MARGIN + (northmost - north[frame]) * this.scale;
    return shown.filter((frame) => traversal[frame] === this.pair[1]);
  }

  draw() {
    const width = Math.floor(this.at.svg.parentElement.clientWidth);
    if (!width || width === this.width || !this.queries) return;
    this.width = width;
    const searched = this.place();
    const svg = this.at.svg;
    const hadFocus = svg.contains(document.activeElement);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${this.height}`);
    svg.setAttribute("height", this.height);
    const track = searched.map((frame) => `M${this.x(frame).toFixed(1)} ${this.y(frame).toFixed(1)}h0`).join("");
    svgOf("path", { class: "track", d: track, "aria-hidden": "true" }, svg);
    this.drawScale(svg);
    if (this.queries.length) this.drawMarks(svg);
    this.over = svgOf("g", { "aria-hidden": "true", "pointer-events": "none" }, svg);
    this.show(this.active);
    if (hadFocus) this.marks?.[this.active]?.focus({ preventScroll: true });
  }

  drawMarks(svg) {
    const label = "Queries in the order of driving";
    const list = svgOf("g", { role: "listbox", "aria-label": label, "aria-describedby": "map-help" }, svg);
    this.marks = this.queries.map((query, number) =>
      svgOf(
        "path",
        {
          class: `query ${query.kind}`,
          d: SHAPES[query.kind],
          transform: `translate(${this.x(query.frame).toFixed(1)} ${this.y(query.frame).toFixed(1)})`,
          role: "option",
          tabindex: "-1",
          "aria-selected": "false",
          "aria-label": `${this.board.frames.id[query.frame]}: ${SAID[query.kind]}`,
          "data-number": number,
        },
        list,
      ),
    );
  }

  drawScale(svg) {
    const longest = this.width / 4 / (10 * this.scale);
    const power = 10 ** Math.floor(Math.log10(longest));
    const metres = [5, 2, 1].map((step) => step * power).find((step) => step <= longest) ?? power;
    const length = metres * 10 * this.scale;
    const low = this.height - 8;
    svgOf("path", { class: "scale", d: `M${MARGIN} ${low}h${length}`, "aria-hidden": "true" }, svg);
    svgOf("text", { x: MARGIN + length + 6, y: low + 4, "aria-hidden": "true" }, svg).textContent = `${metres} m`;
  }

  distance(one, other) {
    const { east, north, world } = this.board.frames;
    if (world[one] !== world[other]) return "on another map";
    return `${(Math.hypot(east[one] - east[other], north[one] - north[other]) / 10).toFixed(0)} m away`;
  }

  /** Show what a query retrieved: lines on the map, and words beside it. */
  show(number) {
    const query = this.queries[number];
    this.over?.replaceChildren();
    this.at.places.replaceChildren();
    if (!query) {
      this.at.status.textContent = "Nobody asked here.";
      return;
    }
    const before = this.marks[this.active];
    before.setAttribute("tabindex", "-1");
    before.setAttribute("aria-selected", "false");
    this.active = number;
    this.marks[number].setAttribute("tabindex", "0");
    this.marks[number].setAttribute("aria-selected", "true");
    const from = [this.x(query.frame), this.y(query.frame)];
    query.top.forEach((frame, place) => this.drawLine(from, frame, query.isRight(place)));
    [...query.top.entries()].reverse().forEach(([place, frame]) => this.drawPlace(frame, place, query.isRight(place)));
    svgOf("circle", { class: "ring", cx: from[0], cy: from[1], r: 9 }, this.over);
    this.say(query);
  }

  drawLine([x, y], frame, isRight) {
    const kind = isRight ? "right" : "wrong";
    svgOf("path", { class: `line ${kind}`, d: `M${x} ${y}L${this.x(frame)} ${this.y(frame)}` }, this.over);
  }

  drawPlace(frame, place, isRight) {
    const [x, y] = [this.x(frame), this.y(frame)];
    svgOf("circle", { class: `place ${isRight ? "right" : "wrong"}`, cx: x, cy: y, r: 8 }, this.over);
    svgOf("text", { x, y: y + 4, "text-anchor": "middle" }, this.over).textContent = String(place + 1);
  }

  say(query) {
    const { id, traversal } = this.board.frames;
    const searched = this.drive(this.pair[1]);
    const [first] = query.top;
    const found = first === undefined
      ? "It retrieved nothing."
      : `First place: ${id[first]}, ${this.distance(query.frame, first)}, ${query.isRight(0) ? "right" : "wrong"}.`;
    const many = query.nRight === 1 ? "One place is right" : `${query.nRight} places are right`;
    const rank = {
      none: "No place of the database is right.",
      hit: `${many}.`,
      miss: `${many}; the first of them comes at rank ${query.rank}.`,
    }[query.kind];
    this.at.status.textContent =
      `Query ${id[query.frame]} of ${this.drive(traversal[query.frame])} is searched in ${searched}. ${found} ${rank}`;
    this.at.places.append(
      ...query.top.map((frame, place) => {
        const item = document.createElement("li");
        const verdict = document.createElement("strong");
        verdict.className = query.isRight(place) ? "right" : "wrong";
        verdict.textContent = query.isRight(place) ? "right" : "wrong";
        item.append(verdict, ` ${id[frame]}, ${this.distance(query.frame, frame)}`);
        return item;
      }),
    );
  }

  point(event, isMeant) {
    const bounds = this.at.svg.getBoundingClientRect();
    const [x, y] = [event.clientX - bounds.left, event.clientY - bounds.top];
    let nearest = -1;
    let least = NEAR;
    this.queries.forEach((query, number) => {
      const distance = Math.hypot(this.x(query.frame) - x, this.y(query.frame) - y);
      if (distance < least) [nearest, least] = [number, distance];
    });
    if (nearest >= 0 && nearest !== this.active) this.show(nearest);
    if (isMeant && nearest >= 0) {
      event.preventDefault();
      this.marks[nearest].focus({ preventScroll: true });
    }
  }

  press(event) {
    const last = this.queries.length - 1;
    const wanted = { Home: 0, End: last }[event.key] ?? this.active + (STEPS[event.key] ?? NaN);
    if (Number.isNaN(wanted) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    this.marks[Math.min(Math.max(wanted, 0), last)].focus({ preventScroll: true });
  }
}

const data = document.getElementById("map-data");
if (data) new QueryMap(JSON.parse(data.textContent));
