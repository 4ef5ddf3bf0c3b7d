/** Words that headers of CT series share: they name anatomy, phases and reconstructions, and no person. */
const WORDS = new Set(
  `ct abd abdo abdomen abdominal pel pelv pelvis ch chest thorax thoracic lung lungs liver pancreas kidney kidneys renal
  hepatic cap ap head neck body whole trunk spine ab tap ax axial axials cor coronal sag sagittal mpr mip recon
  reformat thin thick standard std soft tissue bone sharp smooth hr hrct ld low dose native nativ non plain without
  with w wo contrast iv oral kontrast km ce unenhanced enhanced pre post art arterial arteriell early late portal port pv
  pvp pvph venous ven venoes venos delayed delay excretory nephrographic phase phases multiphase biphasic triphasic dual
  triple helical spiral routine scout topogram localizer survey surview mono contrasted vein equilibrium aorta angio cta
  seg segmentation rtstruct structure structures set label labels tumor tumour lesion organ organs volume series body sft
  st kernel fbp asir adir safire admire idose veo mbir iterative 3d inspiration expiration insp exp prone supine`
    .split(/\s+/)
    .filter((word) => word !== ''),
)
const MEASURE = /^\d{1,2}([.,]\d{1,3})?mm$/

/** Names of reconstruction kernels of the manufacturers. */
const KERNEL =
  /^(STANDARD|STND|SOFT|SMOOTH|DETAIL|CHST|CHEST|LUNG|BONE|BONEPLUS|EDGE|ULTRA|[A-F]|Y[A-D]|UB|UA|[BDHIJTU][a-z]?\d{2}[a-z]?|FC\d{2}|SC\d{2}|EB|EC|L|BRAIN|BODY|SHARP)([ /_-]?[a-z]?\d{1,2}[a-z]?)?$/i
const SHARP = /^(BONE|EDGE|LUNG|ULTRA|SHARP|Y[A-D]$|[BDHIJTU][a-z]?[5-9]\d|FC[58]\d|[DE]$)/i

export type Phase = 'native' | 'arterial' | 'late arterial' | 'portal venous' | 'venous' | 'delayed'

const PHASES: readonly (readonly [Phase, RegExp])[] = [
  ['portal venous', /\b(port(al)?|pv|pvp|pvph)\b/],
  ['late arterial', /\blate art/],
  ['arterial', /\b(art|arterial|arteriell|angio|cta)\b/],
  ['delayed', /\b(delay|delayed|excretory|late|equilibrium)\b/],
  ['venous', /\b(ven|venous|venoes|venos|nephrographic)\b/],
  ['native', /\b(native|nativ|plain|unenhanced|non contrast|without contrast|w o|wo|pre contrast)\b/],
]

/** Return the known words of a free text, in its order: names, dates and numbers of persons are dropped. */
export function knownWords(text: string): string {
  return text
    .split(/[^\p{L}\p{N}.,]+/u)
    .filter((word) => WORDS.has(word.toLowerCase()) || MEASURE.test(word))
    .filter((word, at, all) => all.findIndex((other) => other.toLowerCase() === word.toLowerCase()) === at)
    .join(' ')
}

/** Return the name of a kernel if a manufacturer gives it; empty for other text. */
export function knownKernel(text: string): string {
  return KERNEL.test(text) ? text : ''
}

/** Return true for a kernel that sharpens edges and noise. */
export function isSharpKernel(kernel: string): boolean {
  return SHARP.test(kernel)
}

/** Return the phase of a contrast agent by the words of a description; undefined if none is named. */
export function phaseOf(description: string): Phase | undefined {
  const words = description.toLowerCase().replace(/[^a-z0-9]+/g, ' ')
  return PHASES.find(([, pattern]) => pattern.test(words))?.[0]
}

/** Return a modality that the standard defines for images and their annotations; `other` for any other text. */
export function knownModality(text: string): string {
  return /^(CT|MR|PT|NM|US|CR|DX|MG|XA|RF|OT|SC|SR|SEG|PR|KO|REG|FID|SM|ES|DOC|RTSTRUCT|RTDOSE|RTPLAN|RTIMAGE|RTRECORD)$/.test(
    text,
  )
    ? text
    : 'other'
}
