import { basename } from 'node:path'
import { counted } from '../../plain-text.js'
import type { MissingFiles } from '../datasets/cases.js'
import type { LeftOut } from '../datasets/file-names.js'
import type { ManifestCase } from '../datasets/manifest.js'
import type { RefusedCase } from '../datasets/merged-labels.js'
import type { Finding } from './finding.js'

/** Check the list as a whole: ids, files and patients in the wrong places. */
export function listFindings(cases: readonly ManifestCase[]): Finding[] {
  return [
    ...twins(cases, ({ id }) => id).map(([first, second]) =>
      listFinding(
        'duplicate-id',
        second,
        `duplicate id (also of ${first.image})`,
        'rename one file, or list the case once',
      ),
    ),
    ...twins(cases, ({ image }) => image).map(([first, second]) =>
      listFinding(
        'duplicate-image',
        second,
        `duplicate image (also of ${first.id}, ${first.split})`,
        'list the image once',
      ),
    ),
    ...patientsInTwoSplits(cases).map(([first, second]) =>
      listFinding(
        'patient-in-two-splits',
        second,
        `the patient is in ${second.split} here, and in ${first.split} as ${first.id}`,
        'keep all scans of a patient on one side of a split',
      ),
    ),
  ]
}

export function missingFinding({ dataset, count, example }: MissingFiles): Finding {
  return {
    rule: 'missing-files',
    severity: 'error',
    case: dataset,
    file: example,
    message: `${counted(count, 'listed case', ['lacks', 'lack'])} a file; this is the first`,
    fix: 'fetch the files, or remove the cases from the list',
  }
}

export function leftOutFinding({ count, example, reason, remedy }: LeftOut): Finding {
  const more = count > 1 ? `, and ${counted(count - 1, 'more file')}` : ''
  return {
    rule: 'not-taken',
    severity: 'error',
    case: basename(example),
    file: example,
    message: `not a scan that can be read: ${reason}${more}`,
    fix: remedy,
  }
}

export function refusedFinding({ id, error }: RefusedCase): Finding {
  const file = typeof error.facts?.file === 'string' ? error.facts.file : id
  return {
    rule: 'organ-masks',
    severity: 'error',
    case: id,
    file,
    message: error.message.replace(`${file}: `, ''),
    fix: error.commandHint ?? 'correct the masks',
  }
}

function listFinding(
  rule: Finding['rule'],
  { id, image }: ManifestCase,
  message: string,
  fix: string,
): Finding {
  return { rule, severity: 'error', case: id, file: image, message, fix }
}

function twins(
  cases: readonly ManifestCase[],
  keyOf: (item: ManifestCase) => string,
): (readonly [ManifestCase, ManifestCase])[] {
  const first = new Map<string, ManifestCase>()
  return cases.flatMap((item) => {
    const earlier = first.get(keyOf(item))
    if (!earlier) first.set(keyOf(item), item)
    return earlier ? [[earlier, item] as const] : []
  })
}

function patientsInTwoSplits(cases: readonly ManifestCase[]): (readonly [ManifestCase, ManifestCase])[] {
  const first = new Map<string, ManifestCase>()
  return cases.flatMap((item) => {
    const earlier = first.get(item.patient)
    if (!earlier) first.set(item.patient, item)
    return earlier && earlier.split !== item.split && earlier.id !== item.id ? [[earlier, item] as const] : []
  })
}
