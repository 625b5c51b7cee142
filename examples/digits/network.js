"use strict";
// The network of this page, as PyTorch computes it: convolutions of 3×3 with a margin of zeros, ReLU, the maximum over
// 2×2, one linear layer. Maps are Float32Arrays, row after row, one map after the other.

/** The parameters {name: {shape, values}} from {name: {shape, base64}}, whose numbers are little-endian float32. */
function decoded(parameters) {
  const read = ({ shape, base64 }) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    return { shape, values: new Float32Array(bytes.buffer) };
  };
  return Object.fromEntries(Object.entries(parameters).map(([name, stored]) => [name, read(stored)]));
}

function convolved(input, side, weight, bias) {
  const [outputs, inputs, size] = weight.shape;
  const margin = (size - 1) / 2;
  const result = new Float32Array(outputs * side * side);
  for (let output = 0; output < outputs; output++) {
    const target = result.subarray(output * side * side, (output + 1) * side * side).fill(bias.values[output]);
    for (let map = 0; map < inputs; map++) {
      const source = input.subarray(map * side * side, (map + 1) * side * side);
      for (let dy = -margin; dy <= margin; dy++) {
        for (let dx = -margin; dx <= margin; dx++) {
          const place = ((output * inputs + map) * size + dy + margin) * size + dx + margin;
          const factor = weight.values[place];
          for (let y = Math.max(0, -dy); y < Math.min(side, side - dy); y++) {
            for (let x = Math.max(0, -dx); x < Math.min(side, side - dx); x++) {
              target[y * side + x] += factor * source[(y + dy) * side + x + dx];
            }
          }
        }
      }
    }
  }
  return result;
}

function rectified(values) {
  return values.map((value) => Math.max(0, value));
}

function pooled(input, side) {
  const half = side / 2;
  const result = new Float32Array(input.length / 4);
  for (let place = 0; place < result.length; place++) {
    const map = Math.floor(place / (half * half));
    const y = Math.floor(place / half) % half;
    const corner = map * side * side + 2 * y * side + 2 * (place % half);
    result[place] = Math.max(input[corner], input[corner + 1], input[corner + side], input[corner + side + 1]);
  }
  return result;
}

function mapped(input, weight, bias) {
  return Array.from(bias.values, (start, output) => {
    const row = weight.values.subarray(output * input.length, (output + 1) * input.length);
    return row.reduce((sum, factor, place) => sum + factor * input[place], start);
  });
}

/** The ten logits of a picture of 28×28 values from 0 (paper) to 1 (ink). */
function logitsOf(pixels, parameters) {
  const layer = (name) => [parameters[`${name}.weight`], parameters[`${name}.bias`]];
  let maps = rectified(convolved(pixels, 28, ...layer("convolution1")));
  maps = pooled(rectified(convolved(maps, 28, ...layer("convolution2"))), 28);
  maps = pooled(rectified(convolved(maps, 14, ...layer("convolution3"))), 14);
  return mapped(maps, ...layer("classifier"));
}

/** Shares that sum to one. */
function softmax(logits) {
  const most = Math.max(...logits);
  const powers = logits.map((logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  return powers.map((power) => power / total);
}
