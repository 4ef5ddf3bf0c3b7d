/** Terms of a licence, as its name states them. */
export interface LicenceTerms {
  readonly attribution: boolean
  readonly nonCommercial: boolean
  readonly shareAlike: boolean
  readonly noDerivatives: boolean
}

/** A source of a synthetic data set or of a network: scans, weights or a plug-in. */
export interface LicensedSource {
  /** `labelled`: scans with real tumors, of a training. */
  readonly kind: 'hosts' | 'labelled' | 'weights' | 'plug-in'
  /** Name of a data set, of a file, or of a plug-in. */
  readonly name: string
  /** As its publisher or the user states it; null if none is stated. */
  readonly licence: string | null
  /** SHA-256 of weights or of a program. */
  readonly sha256?: string | null | undefined
}

/** Licence of what was made from the sources. It repeats their terms, and interprets none. */
export interface ResultLicence {
  /** Name of the most restrictive licence; null if a source has other terms than the names of this page cover. */
  readonly name: string | null
  readonly attribution: boolean
  readonly nonCommercial: boolean
  readonly shareAlike: boolean
  /** Terms of sources that have no known name; all of them apply, too. */
  readonly otherTerms: readonly string[]
  /** Names of sources without a stated licence. */
  readonly unstated: readonly string[]
}

const NO_TERMS: LicenceTerms = {
  attribution: false,
  nonCommercial: false,
  shareAlike: false,
  noDerivatives: false,
}
const FREE = /\b(CC0|public domain|PDDL)\b|no patient/i
const PERMISSIVE = /\b(MIT|Apache|BSD|ISC)\b/i
const CREATIVE_COMMONS = /\bCC[ -]BY((?:[ -](?:NC|SA|ND))*)(?:[ -](\d\.\d))?/gi

/**
 * Return the terms of the licences that a text names. A text with several names has several terms; one without a known name
 * has none.
 */
export function termsOf(licence: string): readonly (LicenceTerms & { readonly version: string | null })[] {
  const found = [...licence.matchAll(CREATIVE_COMMONS)].map(([, parts = '', version = null]) => ({
    attribution: true,
    nonCommercial: /NC/i.test(parts),
    shareAlike: /SA/i.test(parts),
    noDerivatives: /ND/i.test(parts),
    version,
  }))
  if (found.length > 0) return found
  if (FREE.test(licence)) return [{ ...NO_TERMS, version: null }]
  if (PERMISSIVE.test(licence)) return [{ ...NO_TERMS, attribution: true, version: null }]
  return []
}

/** Return the sources that forbid derivatives, or do so for some of their copies. */
export function forbiddenSources(sources: readonly LicensedSource[]): readonly LicensedSource[] {
  return sources.filter(
    ({ licence }) => licence !== null && termsOf(licence).some(({ noDerivatives }) => noDerivatives),
  )
}

/** Return the most restrictive terms of all sources. */
export function resultLicence(sources: readonly LicensedSource[]): ResultLicence {
  const terms: ReturnType<typeof termsOf>[number][] = []
  const otherTerms = new Set<string>()
  const unstated: string[] = []
  for (const { name, licence } of sources) {
    if (licence === null) {
      unstated.push(name)
      continue
    }
    const found = termsOf(licence)
    terms.push(...found)
    if (found.length === 0) otherTerms.add(licence)
  }
  const some = (key: keyof LicenceTerms) => terms.some((one) => one[key])
  const [attribution, nonCommercial, shareAlike] = [
    some('attribution'),
    some('nonCommercial'),
    some('shareAlike'),
  ]
  const isKnown = otherTerms.size === 0 && unstated.length === 0 && terms.length > 0
  const parts = [nonCommercial ? '-NC' : '', shareAlike ? '-SA' : ''].join('')
  const versions = terms.flatMap(({ version }) => version ?? []).sort()
  const name = attribution ? `CC BY${parts} ${versions.at(-1) ?? '4.0'}` : 'CC0 1.0'
  return {
    name: isKnown ? name : null,
    attribution,
    nonCommercial,
    shareAlike,
    otherTerms: [...otherTerms],
    unstated,
  }
}
