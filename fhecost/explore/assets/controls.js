// The controls of fhecost/explore/controls.py, made of the browser's own.
(() => {
  "use strict";
  const {createElement: h, useEffect, useRef, useState} = React;
  const PAUSE_MS = 80; // Between two numbers that a drag sends.

  function grouped(options) {
    const groups = new Map();
    for (const option of options) {
      groups.set(option.group, [...(groups.get(option.group) || []), option]);
    }
    return [...groups];
  }

  function Pick({id, label, options, value, disabled, setProps}) {
    const choice = ({value, label}) => h("option", {key: value, value}, label);
    const choices = grouped(options).flatMap(([group, members]) => group
      ? [h("optgroup", {key: group, label: group}, members.map(choice))]
      : members.map(choice));
    return h("div", {className: "control"},
      h("label", {htmlFor: id}, label),
      h("select", {id, value, disabled, onChange: event => setProps({value: event.target.value})},
        choices));
  }

  function Checks({id, label, options, value, setProps}) {
    const tick = name => {
      const ticked = new Set(value);
      if (!ticked.delete(name)) ticked.add(name);
      setProps({value: options.map(option => option.value).filter(one => ticked.has(one))});
    };
    return h("fieldset", {id, className: "control checks"},
      h("legend", null, label),
      grouped(options).map(([group, members]) =>
        h("div", {key: group, role: "group", "aria-label": group, className: "group"},
          h("span", {className: "about", "aria-hidden": true}, group),
          members.map(option => h("label", {key: option.value},
            h("input", {
              type: "checkbox", checked: value.includes(option.value),
              onChange: () => tick(option.value),
            }),
            option.label)))));
  }

  function short(value) {
    const text = String(Number(value.toPrecision(4)));
    const exact = Number(text) === value ? text : String(value);
    const power = value === 0 ? 0 : Math.floor(Math.log10(Math.abs(value)));
    return power >= 6 || power < -3
      ? value.toExponential().replace("e+", "e").replace(/(\.\d*?)0+e/, "$1e")
      : exact;
  }

  function nearest(stops, value) {
    let best = 0;
    const far = stop => Math.abs(Math.log(stop / value));
    stops.forEach((stop, place) => { if (far(stop) < far(stops[best])) best = place; });
    return best;
  }

  function Slide({id, label, unit, stops, words, value, own, whole, disabled, setProps}) {
    const known = value ?? own;
    const [shown, setShown] = useState(known);
    const [draft, setDraft] = useState(null);
    const waiting = useRef(null);
    useEffect(() => { if (!waiting.current) setShown(known); }, [known]);
    useEffect(() => () => clearTimeout(waiting.current?.timer), []);

    const send = number => {
      setShown(number);
      if (waiting.current) {
        waiting.current.number = number;
        return;
      }
      const sent = {number};
      sent.timer = setTimeout(() => {
        waiting.current = null;
        setProps({value: sent.number});
      }, PAUSE_MS);
      waiting.current = sent;
    };
    const number = draft === null ? shown : draft.trim() === "" ? own : Number(draft);
    const wrong = draft !== null && number !== own
      && (!(number > 0 && Number.isFinite(number)) || (whole && !Number.isInteger(number)));
    const commit = () => {
      if (draft !== null && !wrong) {
        if (number !== shown) send(number);
        setDraft(null);
      }
    };
    const place = stops.length && shown !== null ? nearest(stops, shown) : 0;
    const typed = shown === null ? "" : short(shown);
    const said = stops[place] === shown ? words[place] : `${typed} ${unit}`.trim();
    const fault = `${id}-fault`;
    return h("div", {className: "control slide" + (shown === own || whole ? "" : " changed")},
      h("label", {htmlFor: `${id}-field`}, label,
        unit && h("span", {className: "about"}, ` ${unit}`)),
      stops.length > 0 && h("input", {
        type: "range", min: 0, max: stops.length - 1, step: 1, value: place, "aria-label": label,
        "aria-valuetext": said, disabled: disabled || stops.length < 2,
        onChange: event => { setDraft(null); send(stops[Number(event.target.value)]); },
      }),
      h("input", {
        id: `${id}-field`, type: "text", inputMode: "decimal", autoComplete: "off", disabled,
        value: draft ?? typed, placeholder: own === null ? "not known" : undefined,
        "aria-invalid": wrong,
        "aria-describedby": wrong ? fault : undefined,
        onChange: event => setDraft(event.target.value),
        onBlur: commit,
        onKeyDown: event => { if (event.key === "Enter") commit(); },
      }),
      wrong && h("span", {id: fault, className: "fault", role: "alert"},
        whole ? "must be a whole number from 1" : "must be a positive number"));
  }

  window.fhecost = {Pick, Checks, Slide};
  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    fhecost_explore: {
      // The address always shows what is picked, without a step of the browser's history for each.
      keep(query) {
        if (query) history.replaceState(history.state, "", `?${query}`);
        return window.dash_clientside.no_update;
      },
    },
  });
})();
