"use strict";
(() => {
  const read = (id) => {
    const there = document.getElementById(id);
    return there && JSON.parse(there.textContent);
  };
  const number = (n) => n.toLocaleString("en");
  const share = (a, b) => (b ? `${((100 * a) / b).toFixed(1)} %` : "–");

  // What is folded is shown in print, but for the reasons, which fill pages.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open], .reasons)")];
    folded.forEach((part) => (part.open = true));
  });
  addEventListener("afterprint", () => folded.forEach((part) => (part.open = false)));

  // The threshold that is chosen by hand.
  const curve = read("curve");
  const dial = document.getElementById("dial");
  if (curve && dial) {
    const told = document.getElementById("dial-says");
    const cursor = document.querySelector("#thresholds .cursor");
    const show = () => {
      const wanted = curve.low + (curve.high - curve.low) * (dial.value / dial.max);
      let at = curve.threshold.findLastIndex((t) => t >= wanted);
      const returned = at < 0 ? 0 : curve.returned[at];
      const right = at < 0 ? 0 : curve.right[at];
      const value = curve.share ? `${(100 * wanted).toFixed(0)} %` : wanted.toPrecision(3);
      told.textContent =
        `At ${value} and above: ${(returned / curve.documents).toFixed(2)} labels per document, ` +
        `${share(right, returned)} of them right, ${share(right, curve.true)} of the right ones returned.`;
      if (cursor) {
        const x = curve.left + (curve.right_edge - curve.left) * (dial.value / dial.max);
        cursor.innerHTML = `<line x1="${x}" x2="${x}" y1="${curve.top}" y2="${curve.bottom}"/>`;
      }
    };
    dial.addEventListener("input", show);
    show();
  }

  // The map of the tree.
  const tiles = read("tree-tiles");
  const map = document.querySelector("#tree .map");
  if (!tiles || !map) return;
  const scale = read("tree-scale");
  const path = document.querySelector("#tree .path");
  const about = document.querySelector("#tree .about");
  const children = tiles.name.map(() => []);
  tiles.parent.forEach((parent, tile) => parent >= 0 && children[parent].push(tile));

  const strength = (tile) => Math.min(1, tiles.found[tile] / tiles.true[tile]);
  const tint = (tile) => {
    if (!tiles.true[tile]) return "#b9c0c7";
    const at = strength(tile) * (scale.length - 1);
    const low = Math.min(Math.floor(at), scale.length - 2);
    return `rgb(${scale[low].map((a, i) => Math.round(a + (scale[low + 1][i] - a) * (at - low)))})`;
  };
  const describe = (tile) => {
    const uses = tiles.labels[tile] > 1 ? "uses in training" : "training documents";
    const parts = [`${number(tiles.documents[tile])} ${uses}`];
    if (tiles.labels[tile] > 1) parts.unshift(`${number(tiles.labels[tile])} labels`);
    if (tiles.true[tile])
      parts.push(
        `${number(tiles.found[tile])} of ${number(tiles.true[tile])} found among the first five results ` +
          `(${share(tiles.found[tile], tiles.true[tile])})`,
      );
    else if (tiles.true[0]) parts.push("none in these documents");
    return parts.join(" · ");
  };
  const say = (tile) => {
    about.textContent = "";
    const name = document.createElement("b");
    const inside = document.createElement("bdi");
    inside.textContent = tiles.name[tile];
    name.append(inside);
    about.append(name, document.createElement("br"), describe(tile));
  };
  const place = (element, [left, top, width, height]) => {
    element.style.left = `${left / 10}%`;
    element.style.top = `${top / 10}%`;
    element.style.width = `${width / 10}%`;
    element.style.height = `${height / 10}%`;
  };
  const draw = (tile) => {
    const button = document.createElement("button");
    button.type = "button";
    place(button, tiles.place[tile]);
    button.style.background = tint(tile);
    button.setAttribute("aria-label", `${tiles.name[tile]}: ${describe(tile)}`);
    for (const below of children[tile]) {
      const [, , width, height] = tiles.place[below];
      if (width * height * tiles.place[tile][2] * tiles.place[tile][3] < 4e6) continue; // too small to be seen
      const inner = document.createElement("i");
      place(inner, tiles.place[below]);
      inner.style.background = tint(below);
      button.append(inner);
    }
    const [, , width, height] = tiles.place[tile];
    const lines = Math.floor((height * map.clientHeight) / 1000 / 18);
    if (width * map.clientWidth > 64000 && lines) {
      const name = document.createElement("span");
      const inside = document.createElement("bdi");
      inside.textContent = tiles.name[tile];
      inside.style.webkitLineClamp = Math.min(lines, 2);
      name.append(inside);
      button.append(name);
    }
    button.addEventListener("pointerenter", () => say(tile));
    button.addEventListener("focus", () => say(tile));
    button.addEventListener("click", () => (children[tile].length ? show(tile) : say(tile)));
    return button;
  };
  let at = 0;
  const show = (tile, focus = true) => {
    at = tile;
    map.replaceChildren(...children[tile].map(draw));
    const way = [];
    for (let up = tile; up >= 0; up = tiles.parent[up]) way.unshift(up);
    path.replaceChildren(
      ...way.flatMap((up, i) => {
        const step = document.createElement("button");
        step.type = "button";
        const inside = document.createElement("bdi");
        inside.textContent = tiles.name[up];
        step.append(inside);
        step.disabled = up === tile;
        step.addEventListener("click", () => show(up));
        return i ? ["›", step] : [step];
      }),
    );
    say(tile);
    if (focus) map.querySelector("button")?.focus({ preventScroll: true });
  };
  map.addEventListener("keydown", (event) => {
    const up = path.querySelectorAll("button");
    if (event.key === "Escape" && up.length > 1) up[up.length - 2].click();
  });
  addEventListener("resize", () => show(at, false));
  show(0, false);
})();
