"use strict";
// Follows the fleet's events and shows what is there. It changes nothing.

const EVENTS_SHOWN = 200;
const machines = new Map(); // by id
const units = new Map(); // by name
const states = new Map(); // by unit and machine
let isSynced = false;
let isDrawn = true;

const element = (id) => document.getElementById(id);
const key = (name, machine) => `${name} ${machine}`;
const short = (id) => (id || "").slice(0, 8);

function cell(text, kind) {
  const made = document.createElement("td");
  made.textContent = text === undefined || text === "" ? "-" : text;
  if (kind) made.className = kind;
  return made;
}

function row(...cells) {
  const made = document.createElement("tr");
  made.append(...cells);
  return made;
}

function pairs(metadata) {
  return Object.entries(metadata || {}).map(([name, value]) => `${name}=${value}`).join(", ");
}

function drawMachines() {
  const counts = new Map();
  for (const state of states.values()) {
    counts.set(state.machineID, (counts.get(state.machineID) || 0) + 1);
  }
  const sorted = [...machines.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  element("machines").replaceChildren(...sorted.map((machine) => {
    const open = machine.availability || "open";
    const name = cell(short(machine.id));
    name.title = machine.id;
    return row(name, cell(machine.primaryIP), cell(open, open),
      cell(String(counts.get(machine.id) || 0)), cell(pairs(machine.metadata)));
  }));
  element("machine-count").textContent = machines.size;
}

function unitRows(unit) {
  const own = [...states.values()].filter((state) => state.name === unit.name);
  if (own.length === 0) {
    return [row(cell(unit.name), cell(unit.desiredState), cell(unit.currentState),
      cell(short(unit.machineID)), cell(""), cell(""))];
  }
  return own.map((state) => row(cell(unit.name), cell(unit.desiredState), cell(unit.currentState),
    cell(short(state.machineID)), cell(state.systemdActiveState, state.problem ? "failed" : state.systemdActiveState),
    cell(state.problem || state.systemdSubState)));
}

function drawUnits() {
  const wanted = element("filter").value.trim();
  const isShown = (unit) => !wanted || unit.name.includes(wanted)
    || (unit.machineID || "").startsWith(wanted)
    || [...machines.keys()].some((id) => id.startsWith(wanted) && states.has(key(unit.name, id)));
  const sorted = [...units.values()].filter(isShown).sort((a, b) => (a.name < b.name ? -1 : 1));
  element("units").replaceChildren(...sorted.flatMap(unitRows));
  element("unit-count").textContent = units.size;
}

function drawAll() {
  drawMachines();
  drawUnits();
}

// Many events come at once: one drawing serves them all.
function draw() {
  if (!isDrawn) return;
  isDrawn = false;
  requestAnimationFrame(() => {
    isDrawn = true;
    drawAll();
  });
}

function tell(text) {
  const made = document.createElement("li");
  const time = document.createElement("time");
  time.textContent = new Date().toLocaleTimeString();
  made.append(time, text);
  const list = element("events");
  list.prepend(made);
  while (list.children.length > EVENTS_SHOWN) list.lastChild.remove();
}

// Takes an event in; gives what it says, in words.
const takes = {
  "unit"(event) {
    units.set(event.unit.name, event.unit);
    const place = event.unit.machineID ? ` on ${short(event.unit.machineID)}` : "";
    return `${event.unit.name} is ${event.unit.currentState || "inactive"}${place}, wanted ${event.unit.desiredState}`;
  },
  "unit-gone"(event) {
    units.delete(event.name);
    return `${event.name} was destroyed`;
  },
  "state"(event) {
    const state = event.state;
    states.set(key(state.name, state.machineID), state);
    return `${state.name} on ${short(state.machineID)}: ${state.systemdActiveState} (${state.problem || state.systemdSubState})`;
  },
  "state-gone"(event) {
    states.delete(key(event.name, event.machineID));
    return `${event.name} left ${short(event.machineID)}`;
  },
  "machine"(event) {
    machines.set(event.machine.id, event.machine);
    return `machine ${short(event.machine.id)} is ${event.machine.availability || "open"}`;
  },
  "machine-gone"(event) {
    machines.delete(event.id);
    return `machine ${short(event.id)} is gone`;
  },
  "synced"() {
    isSynced = true;
    // Who reads "live" must see what it is live of, not wait for a frame.
    drawAll();
    connection("live", "live");
  },
};

function take(line) {
  if (!line.trim()) return;
  const event = JSON.parse(line);
  const text = takes[event.type] && takes[event.type](event);
  if (text && isSynced) tell(text);
  draw();
}

function connection(kind, text) {
  element("connection").className = kind;
  element("connection").textContent = text;
}

async function follow() {
  const response = await fetch("fleet/v1/events");
  if (!response.ok) {
    const failure = await response.json().catch(() => ({}));
    throw new Error(failure.error ? failure.error.message : response.statusText);
  }
  for (const known of [machines, units, states]) known.clear();
  isSynced = false;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    lines.forEach(take);
  }
}

async function run() {
  for (;;) {
    try {
      await follow();
      connection("lost", "the stream ended; connecting again");
    } catch (error) {
      connection("lost", error.message);
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
}

element("filter").addEventListener("input", drawUnits);
run();
