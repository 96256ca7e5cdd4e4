/** Whether a network fits this page, judged by what it says of itself and by a trial. Pure functions. */

const REMEDY = "ap.export.to_onnx writes a file that fits";

/** Why a network cannot be used, by the names and shapes of its inputs and outputs; or null. */
export function misfit({ inputs, outputs, shape }, expected) {
  const missing = (wanted, found) => wanted.filter((one) => !found.includes(one));
  const lacks = [
    ...missing(["images", "authorized"], inputs).map((one) => `the input “${one}”`),
    ...missing(["logits", "processed"], outputs).map((one) => `the output “${one}”`),
  ];
  if (lacks.length) return `it lacks ${lacks.join(", ")}: ${REMEDY}`;
  const [batch, ...one] = shape;
  if (one.length !== 3 || one.some((length, i) => typeof length === "number" && length !== expected[i])) {
    return `it takes images of ${one.join("×")}, and those of this page are ${expected.join("×")}`;
  }
  if (typeof batch === "number") return `it takes exactly ${batch} ${batch === 1 ? "image" : "images"} at a time, and this page needs any number: ${REMEDY}`;
  return null;
}

/**
 * Why the answer to a trial batch cannot be used, or null.
 * @param {{logits: Tensor, processed: Tensor}} outputs with dims, type and data
 * @param {{count: number, shape: number[], classes: number}} expected
 */
export function badAnswer({ logits, processed }, { count, shape, classes }) {
  for (const [name, { type }] of [["logits", logits], ["processed images", processed]]) {
    if (!["float32", "float64"].includes(type)) return `its ${name} are of type ${type}, and must be float32`;
  }
  if (logits.dims.length !== 2 || logits.dims[0] !== count) {
    return `its logits have the shape ${logits.dims.join("×")} for ${count} images, and must have ${count}×${classes}`;
  }
  if (logits.dims[1] !== classes) return `it tells ${logits.dims[1]} classes apart, and the images of this page have ${classes}`;
  const pixels = [count, ...shape];
  if (processed.dims.join() !== pixels.join()) {
    return `its processed images have the shape ${processed.dims.join("×")}, and must have ${pixels.join("×")}`;
  }
  for (const [name, { data }] of [["logits", logits], ["processed images", processed]]) {
    if (!data.every((value) => Number.isFinite(value))) return `its ${name} hold values that are not numbers (NaN or infinite)`;
  }
  return null;
}

/** The title of a reader's network: the file's name, numbered if there is one of that name already. */
export function ownName(file, taken) {
  const name = `own: ${file}`;
  let number = 2;
  if (!taken.includes(name)) return name;
  while (taken.includes(`${name} (${number})`)) number += 1;
  return `${name} (${number})`;
}
