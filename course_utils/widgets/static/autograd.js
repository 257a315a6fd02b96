// Values and gradients of a graph of scalars; the same as core/graph.py and core/operations.py.

const sigmoid = (x) => 1 / (1 + Math.exp(-x));

// Value, and derivative by each parent.
const OPERATIONS = {
  "+": [(a, b) => a + b, () => [1, 1]],
  "-": [(a, b) => a - b, () => [1, -1]],
  "*": [(a, b) => a * b, (a, b) => [b, a]],
  "/": [(a, b) => a / b, (a, b) => [1 / b, -a / (b * b)]],
  "**": [(a, b) => a ** b, (a, b) => [b ? b * a ** (b - 1) : 0,
    a === 0 && b >= 0 ? 0 : a ** b * Math.log(a)]],
  neg: [(a) => -a, () => [-1]],
  tanh: [Math.tanh, (a) => [1 - Math.tanh(a) ** 2]],
  sigmoid: [sigmoid, (a) => [sigmoid(a) * (1 - sigmoid(a))]],
  exp: [Math.exp, (a) => [Math.exp(a)]],
  log: [Math.log, (a) => [1 / a]],
  relu: [(a) => Math.max(0, a), (a) => [a > 0 ? 1 : 0]],
  sin: [Math.sin, (a) => [Math.cos(a)]],
  cos: [Math.cos, (a) => [-Math.sin(a)]],
};

/** The operation of a node and its arguments: values of the parents, then fixed ones ("**2"). */
function applied({ ops, parents }, values, i) {
  const fixed = ops[i].startsWith("**") && ops[i] !== "**" ? [+ops[i].slice(2)] : [];
  const operation = OPERATIONS[fixed.length ? "**" : ops[i]];
  return [operation, [...parents[i].map((p) => values[p]), ...fixed]];
}

/** Every node's value, for the values of the leaves in the order of the nodes. */
export function evaluateGraph(graph, leafValues) {
  const values = [];
  let k = 0;
  graph.ops.forEach((op, i) => {
    if (!op) return values.push(leafValues[k++]);
    const [[value], given] = applied(graph, values, i);
    return values.push(value(...given));
  });
  return values;
}

/** For each parent of node `i`: {parent, slope, flow}, the gradient sent along that edge. */
export function edgeFlows(graph, values, grads, i) {
  const [[, slopes], given] = applied(graph, values, i);
  const all = slopes(...given);
  return graph.parents[i].map((parent, slot) =>
    ({ parent, slope: all[slot], flow: grads[i] * all[slot] }));
}

/** The derivative of the root by every node; after `count` operations of the backward pass. */
export function gradientsOf(graph, values, count = Infinity) {
  const grads = values.map(() => 0);
  grads[grads.length - 1] = 1;
  let done = 0;
  for (let i = grads.length - 1; i >= 0 && done < count; i--) {
    if (!graph.ops[i]) continue;
    done += 1;
    for (const { parent, flow } of edgeFlows(graph, values, grads, i)) grads[parent] += flow;
  }
  return grads;
}
