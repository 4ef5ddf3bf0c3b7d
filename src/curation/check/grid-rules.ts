import { applyAffine, compareGrids, shearDegrees } from '../../volume/geometry.js'
import type { NiftiHeader } from '../../volume/nifti-header.js'
import type { Affine, Vec3 } from '../../volume/volume.js'
import type { RuleFinding } from './finding.js'

/** Spacings of CT scans; outside this range, the header is usually wrong. */
const CT_SPACING_MM = [0.2, 10] as const
/** Gantry tilt stays below 30 degrees, and most resampling ignores it. */
const MAX_SHEAR_DEGREES = 1

/** Check the position and spacing in a header. */
export function gridFindings(header: NiftiHeader): RuleFinding[] {
  const { spacingMm, pixdimMm, affine, affineSource, shape } = header
  const findings: RuleFinding[] = []
  const spacing = format(spacingMm)
  if (spacingMm.some((mm) => mm < CT_SPACING_MM[0] || mm > CT_SPACING_MM[1]))
    findings.push({
      rule: 'spacing-range',
      severity: 'warning',
      message: `unusual spacing (expected ${CT_SPACING_MM[0]} to ${CT_SPACING_MM[1]} mm, found ${spacing} mm)`,
      fix: 'compare it with the source; write the file again with the correct spacing',
    })
  if (spacingMm.some((mm, axis) => Math.abs(mm - pixdimMm[axis]!) > 0.01 * mm))
    findings.push({
      rule: 'spacing-contradiction',
      severity: 'warning',
      message: `contradictory spacing (${affineSource} ${spacing} mm, pixdim ${format(pixdimMm)} mm); the ${affineSource} is used`,
      fix: 'write the file again with the correct spacing',
    })
  if (spacingMm.every((mm) => mm === 1) && Math.max(...shape) >= 512)
    findings.push({
      rule: 'spacing-reset',
      severity: 'info',
      message: `spacing of exactly 1 mm at ${shape.join(' x ')} voxels: it may have been reset`,
      fix: 'compare it with the source: a reset makes all sizes in mm wrong',
    })
  const apart = header.qformAffine ? cornersApartMm(shape, affine, header.qformAffine) : 0
  if (apart > Math.min(...spacingMm) / 2)
    findings.push({
      rule: 'forms-differ',
      severity: 'warning',
      message: `sform and qform differ by up to ${apart.toFixed(1)} mm; the sform is used, other programs may use the qform`,
      fix: 'write the file again with one correct position',
    })
  if (affineSource === 'pixdim')
    findings.push({
      rule: 'position-unknown',
      severity: 'warning',
      message: 'no sform and no qform: left and right are guessed',
      fix: 'write the file again with its orientation',
    })
  const shear = shearDegrees(affine)
  if (shear > MAX_SHEAR_DEGREES)
    findings.push({
      rule: 'sheared',
      severity: 'warning',
      message: `the axes deviate by ${shear.toFixed(1)} degrees from a right angle (gantry tilt?)`,
      fix: 'resample the file to a grid at right angles',
    })
  return findings
}

/** Compare image and label in physical space: other axes on one physical grid are no fault. */
export function pairFindings(image: NiftiHeader, label: NiftiHeader): RuleFinding[] {
  const compared = compareGrids(image, label)
  if (compared.kind === 'same') return []
  if (compared.kind === 'reoriented')
    return [
      {
        rule: 'orientation-differs',
        severity: 'info',
        message: `label with ${compared.message}`,
        fix: 'nothing: preparation aligns the axes',
      },
    ]
  return [
    {
      rule: 'grid-mismatch',
      severity: 'error',
      message: `not on the grid of its image: ${compared.reasons.join('; ')}`,
      fix: 'resample the label to its image, or repair the wrong header',
    },
  ]
}

/**
 * Find scans that do not fill a patch, and so are padded.
 * @param preparedVoxels size of the prepared scan
 */
export function sizeFindings(preparedVoxels: Vec3, patchVoxels: Vec3): RuleFinding[] {
  if (preparedVoxels.every((voxels, axis) => voxels >= patchVoxels[axis]!)) return []
  return [
    {
      rule: 'too-small',
      severity: 'warning',
      message: `smaller than a patch (expected ${patchVoxels.join(' x ')} voxels when prepared, found ${preparedVoxels.join(' x ')}): it will be padded`,
      fix: 'remove the case if it shows only a part of the organ, or set a smaller patch',
    },
  ]
}

/** Return the largest distance between the positions of a corner under two affines. */
function cornersApartMm(shape: Vec3, a: Affine, b: Affine): number {
  const corners = [0, 1, 2, 3, 4, 5, 6, 7].map(
    (bits) => shape.map((side, axis) => ((bits >> axis) & 1) * (side - 1)) as unknown as Vec3,
  )
  return Math.max(
    ...corners.map((corner) => {
      const [p, q] = [applyAffine(a, corner), applyAffine(b, corner)]
      return Math.hypot(p[0] - q[0], p[1] - q[1], p[2] - q[2])
    }),
  )
}

function format(mm: Vec3): string {
  return mm.map((value) => Number(value.toFixed(4))).join(' x ')
}
