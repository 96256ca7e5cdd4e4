/** The state of the playground, all of it. Other modules change it, and keep nothing themselves. */

export const store = {
  // set once, when the page is loaded
  folder: "",
  engine: null,
  contents: null, // of playground.json
  images: null, // pixels of [0, 1], one image after the other
  labels: null,
  networks: new Map(), // by name; also those of the reader's files

  // what the reader has chosen
  network: null,
  wanted: null, // a network that is being fetched
  shown: [], // indices of the images in the gallery
  sigma: 0,
  p: 0,
  seed: 1,
  draw: 0,
  signs: null, // of the key: −1, 0 or 1 for each pixel; other numbers if it was found
  edited: false, // by hand, so that seed and number do not describe it
  found: null, // what another attack than guessing has found: {what, name, sigma}
  brightness: 0, // added to every pixel
  blind: false, // accuracies and true classes are hidden, as they are from a thief
  picture: null, // of the reader, pixels of [0, 1]

  // what is under way
  trying: false, // one of the thief's buttons is at work
  generation: 0, // counts what was begun; whatever belongs to an earlier number is out of date
  settled: Promise.resolve(true),
  yours: null, // answers with the present key
};

export const size = () => store.contents.images.shape.reduce((a, b) => a * b);
export const side = () => store.contents.images.shape[2];
export const present = () => store.networks.get(store.network);
export const className = (index) => store.contents.classes[index] ?? `class ${index}`;
export const image = (index) => store.images.subarray(index * size(), (index + 1) * size());
