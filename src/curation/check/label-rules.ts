import { counted } from '../../plain-text.js'
import { type Components, componentsTouching, findComponents, findRuns } from '../../volume/components.js'
import { applyAffine, voxelVolumeMm3 } from '../../volume/geometry.js'
import { IGNORED_LABEL, LABEL_SCHEMES, type LabelScheme, type Organ } from '../../volume/labels.js'
import type { LabelMap, Vec3, Volume } from '../../volume/volume.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { KidneySides, LabelIdMap } from '../datasets/registry.js'
import type { Remapped } from '../datasets/remap.js'
import type { RuleFinding } from './finding.js'

/** Smaller components are annotation slips: a sphere of 2 mm diameter. */
const SPECK_MM3 = 4

/**
 * Check the ids of a label.
 * @param label with the ids of its source
 * @param counts voxels of each id of the source
 */
export function idFindings(
  label: Volume,
  counts: ReadonlyMap<number, number>,
  labelMap: LabelIdMap,
): RuleFinding[] {
  const known = new Set(['0', ...Object.keys(labelMap)])
  const outside = [...counts.keys()].filter((id) => !known.has(String(id))).sort((a, b) => a - b)
  if (outside.length === 0) return []
  const voxels = sum(outside.map((id) => counts.get(id)!))
  return [
    {
      rule: 'label-ids',
      severity: 'error',
      message: `unknown ids (expected ${listed([...known])}, found ${listed(outside)} in ${counted(voxels, 'voxel')})`,
      fix: 'add the ids to the map (0 for background), or correct the label',
      ...placeOfId(label, outside[0]!),
    },
  ]
}

/** Check organs and tumors of a label with the ids of its region. */
export function anatomyFindings(
  { label, before, after }: Remapped,
  labelMap: LabelIdMap,
  item: Pick<ManifestCase, 'region' | 'role'>,
): RuleFinding[] {
  const scheme = LABEL_SCHEMES[item.region]
  if (before.every(({ source }) => source === 0)) return [emptyFinding()]
  const voxels = scheme.names.map((_, id) => after.find((row) => row.id === id)?.voxels ?? 0)
  return [
    ...ignoredFindings(label, after),
    ...presenceFindings(label, voxels, new Set(Object.values(labelMap)), scheme, item.role.kind),
    ...scheme.organs.flatMap((organ) => tumorFindings(label, organ, voxels, scheme)),
    ...mirrorFindings(label, voxels),
  ]
}

/**
 * Check the positions of left and right kidney.
 * @param label with the ids of its source
 */
export function sideFindings(label: Volume, sides: KidneySides): RuleFinding[] {
  const [left, right] = [centroid(label, sides.left), centroid(label, sides.right)]
  // the first physical axis points to the patient's right
  if (!left || !right || right[0] > left[0]) return []
  return [
    {
      rule: 'kidney-sides',
      severity: 'warning',
      message: `the right kidney (id ${sides.right}) lies left of the left kidney (id ${sides.left})`,
      fix: 'correct the two ids, or the orientation in the header',
      ...placeOfId(label, sides.left),
    },
  ]
}

function emptyFinding(): RuleFinding {
  return {
    rule: 'no-organ',
    severity: 'error',
    message: 'empty label (expected organs, found only 0)',
    fix: 'segment the organs again, or remove the case',
  }
}

function ignoredFindings(label: LabelMap, after: Remapped['after']): RuleFinding[] {
  const ignored = after.find(({ id }) => id === IGNORED_LABEL)
  if (!ignored) return []
  const percent = (100 * ignored.voxels) / sum(after.map(({ voxels }) => voxels))
  return [
    {
      rule: 'ignored-voxels',
      severity: 'info',
      message: `${counted(ignored.voxels, 'voxel')} (${percent.toPrecision(3)} %) ignored`,
      fix: 'nothing: they count in no loss, crop centre, tumor and figure',
      ...placeOfId(label, IGNORED_LABEL),
    },
  ]
}

function presenceFindings(
  label: LabelMap,
  voxels: readonly number[],
  mapped: ReadonlySet<number>,
  scheme: LabelScheme,
  role: ManifestCase['role']['kind'],
): RuleFinding[] {
  const expected = scheme.organs.filter(
    ({ label, tumorLabel }) => mapped.has(label) || mapped.has(tumorLabel),
  )
  const present = expected.filter(({ label, tumorLabel }) => voxels[label]! + voxels[tumorLabel]! > 0)
  if (present.length === 0)
    return [
      {
        rule: 'no-organ',
        severity: 'error',
        message: `no voxel of ${expected.map(({ name }) => name).join(', ') || 'any organ'}: no tumor can be learnt or placed`,
        fix: 'label the organs (they need not be exact), or remove the case',
      },
    ]
  const absent = expected.filter((organ) => !present.includes(organ))
  const findings = absent.map(
    ({ name }): RuleFinding => ({
      rule: 'organ-missing',
      severity: 'info',
      message: `no voxel of ${name}`,
      fix: 'nothing, if the scan does not show it',
    }),
  )
  const tumors = scheme.organs.filter(({ tumorLabel }) => voxels[tumorLabel]! > 0)
  if (role === 'labelled' && tumors.length === 0)
    findings.push({
      rule: 'no-tumor',
      severity: 'info',
      message: 'no tumor voxel',
      fix: 'nothing, if the scan is healthy',
    })
  if (role === 'host' && tumors.length > 0)
    findings.push({
      rule: 'host-with-tumor',
      severity: 'warning',
      message: `a host with a real ${tumors.map(({ tumorLabel }) => scheme.names[tumorLabel]).join(', ')}`,
      fix: 'list the case as labelled, or remove it from the hosts',
      ...placeOfId(label, tumors[0]!.tumorLabel),
    })
  return findings
}

function tumorFindings(
  label: LabelMap,
  organ: Organ,
  voxels: readonly number[],
  scheme: LabelScheme,
): RuleFinding[] {
  const name = scheme.names[organ.tumorLabel]!
  if (voxels[organ.tumorLabel] === 0) return []
  const findings: RuleFinding[] = []
  const pieces = findComponents(label, organ.tumorLabel)
  const touching = componentsTouching(label, pieces, organ.label)
  const apart = pieces.voxels.filter((_, n) => !touching[n])
  if (voxels[organ.label]! > 0 && apart.length > 0)
    findings.push({
      rule: 'tumor-outside-organ',
      severity: 'warning',
      message: `${apart.length} of ${counted(pieces.voxels.length, 'component')} of ${name} without contact to the ${organ.name} (${counted(sum(apart), 'voxel')})`,
      fix: 'correct the ids of these components, or extend the organ to them',
      placeMm: placeOf(label, pieces, touching.indexOf(false)),
    })
  const isSpeck = (count: number): boolean => count * voxelVolumeMm3(label.affine) < SPECK_MM3
  const specks = pieces.voxels.filter(isSpeck)
  if (specks.length > 0)
    findings.push({
      rule: 'specks',
      severity: 'warning',
      message: `${specks.length} of ${counted(pieces.voxels.length, 'component')} of ${name} below ${SPECK_MM3} mm3 (${counted(sum(specks), 'voxel')})`,
      fix: 'remove the components if they are annotation slips',
      placeMm: placeOf(label, pieces, pieces.voxels.findIndex(isSpeck)),
    })
  return findings
}

/** Return the position of a voxel of a component in millimetres. */
function placeOf(label: LabelMap, { runs }: Components, component: number): Vec3 {
  const { row, start } = runs.find((run) => run.component === component)!
  const columns = label.shape[1]
  return applyAffine(label.affine, [Math.floor(row / columns), row % columns, start])
}

/**
 * Check that the liver lies right of the pancreas: otherwise the header mirrors the patient, or the anatomy
 * is rare.
 */
function mirrorFindings(label: LabelMap, voxels: readonly number[]): RuleFinding[] {
  const [liverId, pancreasId] = [1, 3]
  if (!voxels[pancreasId] || !voxels[liverId] || voxels.length < 7) return []
  const [liver, pancreas] = [centroid(label, liverId), centroid(label, pancreasId)]
  if (!liver || !pancreas || liver[0] > pancreas[0]) return []
  return [
    {
      rule: 'mirrored',
      severity: 'warning',
      message: 'the liver lies left of the pancreas: left and right may be exchanged',
      fix: 'compare the orientation in the header with the source',
      ...placeOfId(label, liverId),
    },
  ]
}

/** Return the middle of the longest run of an id, in millimetres; nothing without one. */
function placeOfId(label: Volume, id: number): Pick<RuleFinding, 'placeMm'> {
  let longest: { readonly row: number; readonly start: number; readonly end: number } | null = null
  for (const run of findRuns(label, id))
    if (longest === null || run.end - run.start > longest.end - longest.start) longest = run
  if (longest === null) return {}
  const columns = label.shape[1]
  const voxel: Vec3 = [
    Math.floor(longest.row / columns),
    longest.row % columns,
    Math.floor((longest.start + longest.end - 1) / 2),
  ]
  return { placeMm: applyAffine(label.affine, voxel) }
}

function centroid(label: Volume, id: number): Vec3 | null {
  const rows = label.shape[1]
  let [count, i, j, k] = [0, 0, 0, 0]
  for (const { row, start, end } of findRuns(label, id)) {
    const length = end - start
    count += length
    i += length * Math.floor(row / rows)
    j += length * (row % rows)
    k += (length * (start + end - 1)) / 2
  }
  return count === 0 ? null : applyAffine(label.affine, [i / count, j / count, k / count])
}

function listed(ids: readonly (string | number)[]): string {
  return ids.length > 20 ? `${ids.slice(0, 20).join(', ')} and ${ids.length - 20} more` : ids.join(', ')
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}
