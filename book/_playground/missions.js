/**
 * The missions: what to do, a hint, whether it is done, and what it shows. Pure: the state is given.
 *
 * @typedef {{network: string, kind: string, accuracy: number | null, blind: boolean, isPick: boolean,
 *   trying: boolean, found: boolean,
 *   tries: {kind: string, accuracy: number}[]}} State
 *   of the present network. kind: how the present key was found (kindOf in tries.js). accuracy: with it, null while
 *   it is measured. trying: whether more keys are to come. found: whether the owner's key was told from others.
 */

const only = (tries, kind) => tries.filter((each) => each.kind === kind);
const withstood = (tries, kind, count) => only(tries, kind).length >= count && only(tries, kind).every(({ accuracy }) => accuracy < 0.2);

export const MISSIONS = [
  {
    id: "guess", network: "fixed", title: "Break in by guessing",
    task: "The network has the fixed key. Find a random key with which it gets at least 70% of the images right.",
    hint: "The owner's σ is 0.025, but nobody forces a thief to use it. Set σ to 0.1, and try 20 keys.",
    done: ({ network, kind, accuracy, blind }) => network === "fixed" && !blind && kind === "guess" && accuracy >= 0.7,
    lesson: "A guess that is stronger than the owner's key opens this lock, though hardly any of its pixels are those of the key.",
  },
  {
    id: "blind", network: "fixed", title: "Choose without labels",
    task: "The same lock, but now hide the labels, as they are hidden from a thief. Try at least 20 keys, and use the thief's pick. It should get 60% of the images right, and you will not see it until the mission tells you.",
    hint: "Tick “Hide the labels” first. With σ = 0.1, some of 20 keys score above 1.5, and a high score means that the answers are sure and different. If you have tried anything but keys on this lock, press “Forget all tries” first.",
    done: ({ network, kind, accuracy, blind, isPick, trying, tries }) =>
      network === "fixed" && blind && isPick && !trying && kind === "guess" && only(tries, "guess").length >= 20 && accuracy >= 0.6,
    lesson: "The score needs no label, and yet it found a key that works. A lock is as good as its best guess only if the thief cannot tell which guess that is.",
  },
  {
    id: "brightness", network: "generator", title: "A little light",
    task: "One lock of this page opens when every pixel gets the same number. Find out which, and with what brightness at least 85% of the answers are right.",
    hint: "Choose the generator and press “Try 17 brightnesses”. Then use the thief's pick.",
    done: ({ kind, accuracy, network }) => network !== "baseline" && kind === "brightness" && accuracy >= 0.85,
    lesson: "The generator draws a different perturbation for every image. To the network, one brightness is nearly as good as all of them.",
  },
  {
    id: "climb", network: "learned", title: "Do not guess, climb",
    task: "Random keys do next to nothing against the learned perturbation. Open it by climbing, to at least 80%.",
    hint: "Press “Climb” and wait a minute or two. Many starts get stuck near the bottom. The score shows which, and the page begins again from other noise, with up to ten starts. If all of them get stuck, climb again.",
    done: ({ network, kind, accuracy }) => network === "learned" && kind === "climbing" && accuracy >= 0.8,
    lesson: "Twenty steps along the gradient of a score that needs no label did what hundreds of guesses could not.",
  },
  {
    id: "mended", network: "mended", title: "The mended lock",
    task: "Choose the mended lock. See that it withstands 20 random keys and a climb: each must stay below 20%. Then find the one button that opens it all the same.",
    hint: "After the keys and the climb, take one pair: a raw image and what the owner's transform made of it.",
    done: ({ network, kind, accuracy, tries }) =>
      network === "mended" && withstood(tries, "guess", 20) && withstood(tries, "climbing", 1) && kind === "one pair" && accuracy >= 0.85,
    lesson: "This network was trained to refuse wrong keys. It cannot refuse the right one, and a single pair of images gives it away.",
  },
  {
    id: "owner", network: "mended", title: "Which key is the owner's?",
    task: "Three keys, and one of them is the owner's. Put them before the mended lock, and say which.",
    hint: "You need no label for it. Look at the thief's score under “Your key”.",
    lineup: true,
    done: ({ found }) => found,
    lesson: "A lock that refuses wrong keys tells everybody who asks which key is right. A thief only needs a list of keys that has it.",
  },
  {
    id: "lock", network: "baseline", title: "Lock it yourself",
    task: "The baseline has no lock. Find a key that hurts: one with which the baseline gets fewer than 30% of the images right.",
    hint: "Make σ and p as large as they go. If this key is not strong enough, draw another one.",
    done: ({ network, accuracy, kind }) => network === "baseline" && kind !== "brightness" && accuracy < 0.3,
    lesson: "Subtract this key inside the network, before its first layer, and raw images fail while images with the key work: a lock without any training. It would not last, because one pair of images gives the key away.",
  },
];
