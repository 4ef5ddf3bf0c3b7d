import { LABEL_SCHEMES, type Organ, type OrganName, type Region } from '../volume/labels.js'
import type { LabelMap, Vec3, Volume } from '../volume/volume.js'
import { type Difficulty, HARDNESS, type Hardness } from './difficulty.js'
import { grain, type PhantomRandom, phantomRandom, smoothField } from './random.js'

export interface PhantomOptions {
  readonly region: Region
  /** Default: standard. */
  readonly difficulty?: Difficulty
  /** Number of the case. Seed and index decide all random numbers. */
  readonly index: number
  readonly seed: number
  /** Voxels per side. */
  readonly sizeVoxels: number
  /** False builds a host CT: organs and confounders only. */
  readonly tumors: boolean
  /** Organs that contain tumors. Default: some organs, drawn. */
  readonly tumorOrgans?: readonly OrganName[] | undefined
}

export interface Phantom {
  /** HU. */
  readonly image: Volume<Int16Array>
  readonly label: LabelMap
}

const SPACING_MM = 1.5

/** A point in the unit cube: x to the right, y to the front, z upwards. */
type Point = readonly [number, number, number]

/**
 * A solid. Its level is negative inside, in units of its size, and 0 on its surface. It lies in low..high.
 */
interface Solid {
  readonly level: (x: number, y: number, z: number) => number
  readonly low: Point
  readonly high: Point
}

/** One case under construction: voxels in C order. */
interface Scene {
  readonly side: number
  readonly shape: Vec3
  readonly hu: Float32Array
  readonly label: Uint8Array
  readonly random: PhantomRandom
  readonly hardness: Hardness
  readonly tumorOrgans: readonly OrganName[] | null
}

/**
 * Build a CT-like volume with its labels: body, fat, spine, vessels, organs of the region, confounders
 * (cysts, vessels, fat), noise, and tumors if wanted. Tumors are unions of balls with a rough surface, so
 * they do not follow the shape model of the simulation. Their HU lie within the spread of healthy tissue, so
 * no threshold finds them.
 */
export function makePhantom(options: PhantomOptions): Phantom {
  const side = options.sizeVoxels
  const shape: Vec3 = [side, side, side]
  const scene: Scene = {
    side,
    shape,
    hu: new Float32Array(side ** 3).fill(-1000),
    label: new Uint8Array(side ** 3),
    random: phantomRandom(options.seed, options.index),
    hardness: HARDNESS[options.difficulty ?? 'standard'],
    tumorOrgans: options.tumorOrgans ?? null,
  }
  if (options.region === 'abdomen') buildAbdomen(scene, options.tumors)
  else buildChest(scene, options.tumors)
  addNoise(scene)
  const origin = (-side * SPACING_MM) / 2
  const affine = [SPACING_MM, 0, 0, origin, 0, SPACING_MM, 0, origin, 0, 0, SPACING_MM, origin, 0, 0, 0, 1]
  const image = new Int16Array(scene.hu.length)
  for (let voxel = 0; voxel < image.length; voxel++)
    image[voxel] = Math.round(Math.max(-1024, Math.min(3071, scene.hu[voxel]!)))
  return { image: { data: image, shape, affine }, label: { data: scene.label, shape, affine } }
}

function buildAbdomen(scene: Scene, tumors: boolean): void {
  const { random } = scene
  const wobble = smoothField(random, scene.shape, scene.side / 5)
  const jitter = (scale: number): number => random.between(-scale, scale)
  fill(scene, ellipsoid([0.5, 0.5, 0.5], [0.49, 0.44, 2]), -100)
  fill(scene, ellipsoid([0.5, 0.49, 0.5], [0.44, 0.38, 2]), 55)
  fill(scene, ellipsoid([0.28 + jitter(0.03), 0.68, 0.6], [0.12, 0.1, 0.2]), 20)
  fill(scene, ellipsoid([0.5, 0.62, 0.2], [0.3, 0.12, 0.16]), -90)

  const [liver, pancreas, kidney] = LABEL_SCHEMES.abdomen.organs as unknown as readonly [Organ, Organ, Organ]
  // the contrast phase differs between scans by more than a tumor differs from its organ
  const liverHu = random.between(85, 140)
  const kidneyHu = random.between(125, 200)
  const pancreasHu = random.between(75, 125)
  const size = random.between(0.94, 1.06)
  place(
    scene,
    roughened(
      ellipsoid([0.67 + jitter(0.015), 0.52, 0.56 + jitter(0.02)], [0.23 * size, 0.29 * size, 0.32]),
      wobble,
      scene,
      0.12,
    ),
    liver,
    liverHu,
  )
  const tail: Point = [0.24, 0.46 + jitter(0.03), 0.5 + jitter(0.03)]
  place(
    scene,
    roughened(tube([[0.52, 0.6, 0.34], [0.42, 0.56, 0.42], tail], 0.085), wobble, scene, 0.12),
    pancreas,
    pancreasHu,
  )
  for (const x of [0.72, 0.27])
    place(
      scene,
      roughened(
        ellipsoid([x + jitter(0.015), 0.24, 0.36 + jitter(0.03)], [0.1, 0.095, 0.17]),
        wobble,
        scene,
        0.1,
      ),
      kidney,
      kidneyHu,
    )

  fill(scene, ellipsoid([0.5, 0.2, 0.5], [0.075, 0.075, 2]), 320)
  fill(scene, ellipsoid([0.5, 0.2, 0.5], [0.05, 0.05, 2]), 170)
  fill(scene, ellipsoid([0.44, 0.31, 0.5], [0.035, 0.035, 2]), 190)
  const { steatosisHu, confoundersEverywhere } = scene.hardness
  const organs = [liver, pancreas, kidney]
  for (const organ of confoundersEverywhere ? organs : [liver]) addSteatosis(scene, organ, steatosisHu ?? 12)
  // some vessels are filled with contrast: bright ones are no help, dark ones resemble tumors
  for (let vessel = 0; vessel < 5; vessel++) addVessel(scene, liver, vessel % 2 === 0 ? 60 : -35)
  if (confoundersEverywhere) for (const organ of [pancreas, kidney, kidney]) addVessel(scene, organ, -35)
  for (const organ of confoundersEverywhere ? organs : [liver, kidney]) addCyst(scene, organ)
  for (const organ of confoundersEverywhere ? organs : [liver])
    if (random.chance(0.5)) addLobules(scene, organ)
  if (tumors) addTumors(scene, organs, [-50, -45, -70])
}

function buildChest(scene: Scene, tumors: boolean): void {
  const { random } = scene
  const wobble = smoothField(random, scene.shape, scene.side / 5)
  const lung = LABEL_SCHEMES.chest.organs[0]!
  fill(scene, ellipsoid([0.5, 0.5, 0.5], [0.49, 0.44, 2]), -100)
  fill(scene, ellipsoid([0.5, 0.5, 0.5], [0.45, 0.4, 2]), 50)
  const lungHu = random.between(-870, -830)
  for (const x of [0.71, 0.28])
    place(scene, roughened(ellipsoid([x, 0.5, 0.5], [0.18, 0.3, 0.42]), wobble, scene, 0.08), lung, lungHu)
  fill(scene, ellipsoid([0.45, 0.56, 0.36], [0.13, 0.14, 0.16]), 110)
  unlabel(scene, ellipsoid([0.45, 0.56, 0.36], [0.13, 0.14, 0.16]), lung)
  fill(scene, ellipsoid([0.5, 0.16, 0.5], [0.07, 0.07, 2]), 320)
  addSteatosis(scene, lung, scene.hardness.steatosisHu ?? 35)
  for (let vessel = 0; vessel < 10; vessel++) addVessel(scene, lung, random.between(350, 750))
  if (random.chance(0.5)) addLobules(scene, lung)
  if (tumors) addTumors(scene, [lung], [330])
}

function ellipsoid(centre: Point, radii: Point): Solid {
  const [cx, cy, cz] = centre
  const [rx, ry, rz] = radii
  return {
    level: (x, y, z) => Math.sqrt(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 + ((z - cz) / rz) ** 2) - 1,
    low: [cx - rx, cy - ry, cz - rz],
    high: [cx + rx, cy + ry, cz + rz],
  }
}

/** Return all points nearer than `radius` to a line through the points. */
function tube(points: readonly Point[], radius: number): Solid {
  return {
    level: (x, y, z) => {
      let nearest = Number.POSITIVE_INFINITY
      for (let at = 0; at + 1 < points.length; at++)
        nearest = Math.min(nearest, distanceToSegment(x, y, z, points[at]!, points[at + 1]!))
      return nearest / radius - 1
    },
    ...around(points, radius),
  }
}

/** Return the solid with its surface moved in and out by a smooth field. */
function roughened(solid: Solid, field: Float32Array, scene: Scene, amount: number): Solid {
  const { side } = scene
  const index = (value: number): number => Math.min(side - 1, Math.floor(value * side))
  return {
    level: (x, y, z) =>
      solid.level(x, y, z) + amount * field[(index(x) * side + index(y)) * side + index(z)]!,
    // the field is rarely beyond 4, so it adds at most half the size of a solid
    ...around([solid.low, solid.high], amount),
  }
}

/** Return the bounds of the points, widened on all sides. */
function around(points: readonly Point[], margin: number): { readonly low: Point; readonly high: Point } {
  const along = (axis: 0 | 1 | 2): number[] => points.map((point) => point[axis])
  const low = (axis: 0 | 1 | 2): number => Math.min(...along(axis)) - margin
  const high = (axis: 0 | 1 | 2): number => Math.max(...along(axis)) + margin
  return { low: [low(0), low(1), low(2)], high: [high(0), high(1), high(2)] }
}

function fill(scene: Scene, solid: Solid, hu: number): void {
  visit(scene, solid, (voxel) => {
    scene.hu[voxel] = hu
    scene.label[voxel] = 0
  })
}

function place(scene: Scene, solid: Solid, organ: Organ, hu: number): void {
  visit(scene, solid, (voxel) => {
    scene.hu[voxel] = hu
    scene.label[voxel] = organ.label
  })
}

function unlabel(scene: Scene, solid: Solid, organ: Organ): void {
  visit(scene, solid, (voxel) => {
    if (scene.label[voxel] === organ.label) scene.label[voxel] = 0
  })
}

/** Add slow changes of an organ's HU, as wide as a tumor is deep. */
function addSteatosis(scene: Scene, organ: Organ, depthHu: number): void {
  const field = smoothField(scene.random, scene.shape, scene.side / 3)
  for (let voxel = 0; voxel < field.length; voxel++)
    if (scene.label[voxel] === organ.label) scene.hu[voxel]! += depthHu * field[voxel]!
}

function addVessel(scene: Scene, organ: Organ, differenceHu: number): void {
  const start = pointIn(scene, organ.label)
  const end = pointIn(scene, organ.label)
  if (!start || !end) return
  const bend = start.map(
    (value, axis) => (value + end[axis]!) / 2 + scene.random.between(-0.06, 0.06),
  ) as unknown as Point
  visit(scene, tube([start, bend, end], scene.random.between(0.012, 0.024)), (voxel) => {
    if (scene.label[voxel] === organ.label) scene.hu[voxel]! += differenceHu
  })
}

/** Add a round, sharp, watery cyst, darker than any tumor. */
function addCyst(scene: Scene, organ: Organ): void {
  const centre = pointIn(scene, organ.label)
  if (!centre) return
  const radius = scene.random.between(0.03, 0.065)
  visit(scene, ellipsoid(centre, [radius, radius, radius]), (voxel) => {
    if (scene.label[voxel] === organ.label) scene.hu[voxel] = 8
  })
}

/** Add small fatty spots. */
function addLobules(scene: Scene, organ: Organ): void {
  for (let spot = 0; spot < 4; spot++) {
    const centre = pointIn(scene, organ.label)
    if (!centre) continue
    const radius = scene.random.between(0.015, 0.03)
    visit(scene, ellipsoid(centre, [radius, radius * 1.4, radius]), (voxel) => {
      if (scene.label[voxel] === organ.label) scene.hu[voxel]! -= 30
    })
  }
}

/** Add one, two or three tumors in each wanted organ, or in at least one drawn organ. */
function addTumors(scene: Scene, organs: readonly Organ[], contrastsHu: readonly number[]): void {
  const { random, tumorOrgans, hardness } = scene
  const chosen = organs.map(({ name }) => (tumorOrgans ? tumorOrgans.includes(name) : random.chance(0.75)))
  if (!tumorOrgans && !chosen.includes(true)) chosen[Math.floor(random.uniform() * organs.length)] = true
  organs.forEach((organ, at) => {
    if (!chosen[at]) return
    const count =
      hardness.mostTumors === 3 ? 1 + Math.floor(3 * random.uniform()) : random.chance(0.4) ? 2 : 1
    for (let tumor = 0; tumor < count; tumor++) addTumor(scene, organ, contrastsHu[at]!)
  })
}

/** Add a cluster of balls with a rough surface, a soft rim, and an uneven inside. */
function addTumor(scene: Scene, organ: Organ, contrastHu: number): void {
  const { random, side } = scene
  const centre = pointIn(scene, organ.label)
  if (!centre) return
  const size = random.between(...scene.hardness.tumorRadius)
  const balls = Array.from({ length: 5 }, (_, ball) => {
    const reach = ball === 0 ? 0 : size * 0.75
    const place = centre.map((value) => value + random.between(-reach, reach)) as unknown as Point
    return { place, radius: size * (ball === 0 ? 0.8 : random.between(0.35, 0.7)) }
  })
  const rough = smoothField(random, scene.shape, side / 16)
  const inside = smoothField(random, scene.shape, side / 10)
  const depth = scene.hardness.contrast * contrastHu * random.between(0.8, 1.25)
  // a metaball field falls slowly, so the contrast fades over about two voxels
  const cluster: Solid = {
    level: (x, y, z) => {
      let sum = 0
      for (const { place, radius } of balls) {
        const square = (x - place[0]) ** 2 + (y - place[1]) ** 2 + (z - place[2]) ** 2
        sum += (radius ** 2 / Math.max(1e-12, square)) ** 2
      }
      return 0.3 - sum
    },
    ...around([centre], 3 * size),
  }
  visit(scene, cluster, (voxel, outside) => {
    const level = -(outside + 0.7) + 0.35 * rough[voxel]!
    if (scene.label[voxel] !== organ.label || level < -0.5) return
    const weight = Math.min(1, (level + 0.5) / 0.8)
    scene.hu[voxel]! += depth * weight * (1 + 0.3 * inside[voxel]!)
    if (level > 0) scene.label[voxel] = organ.tumorLabel
  })
}

function addNoise(scene: Scene): void {
  const fine = grain(scene.random, scene.shape)
  const uneven = smoothField(scene.random, scene.shape, scene.side / 12)
  for (let voxel = 0; voxel < fine.length; voxel++)
    scene.hu[voxel]! += 11 * fine[voxel]! + (scene.hu[voxel]! > -200 ? 5 * uneven[voxel]! : 0)
}

/** Call `use` for every voxel whose centre lies inside the solid, with its level. */
function visit(scene: Scene, solid: Solid, use: (voxel: number, level: number) => void): void {
  const { side } = scene
  const range = (axis: 0 | 1 | 2): [number, number] => [
    Math.max(0, Math.floor(solid.low[axis] * side)),
    Math.min(side - 1, Math.ceil(solid.high[axis] * side)),
  ]
  const [[i0, i1], [j0, j1], [k0, k1]] = [range(0), range(1), range(2)]
  for (let i = i0; i <= i1; i++)
    for (let j = j0; j <= j1; j++)
      for (let k = k0; k <= k1; k++) {
        const level = solid.level((i + 0.5) / side, (j + 0.5) / side, (k + 0.5) / side)
        if (level <= 0) use((i * side + j) * side + k, level)
      }
}

/** Return a uniform point of an organ; null if 100,000 draws find none. */
function pointIn(scene: Scene, label: number): Point | null {
  const { random, side } = scene
  for (let draw = 0; draw < 100_000; draw++) {
    const voxel = Math.floor(random.uniform() * scene.label.length)
    if (scene.label[voxel] !== label) continue
    const [i, j, k] = [Math.floor(voxel / side ** 2), Math.floor(voxel / side) % side, voxel % side]
    return [(i + 0.5) / side, (j + 0.5) / side, (k + 0.5) / side]
  }
  return null
}

function distanceToSegment(x: number, y: number, z: number, from: Point, to: Point): number {
  const [dx, dy, dz] = [to[0] - from[0], to[1] - from[1], to[2] - from[2]]
  const dot = dx * (x - from[0]) + dy * (y - from[1]) + dz * (z - from[2])
  const squared = dx ** 2 + dy ** 2 + dz ** 2
  const t = squared === 0 ? 0 : Math.max(0, Math.min(1, dot / squared))
  // Math.hypot takes several times as long
  return Math.sqrt(
    (x - (from[0] + t * dx)) ** 2 + (y - (from[1] + t * dy)) ** 2 + (z - (from[2] + t * dz)) ** 2,
  )
}
