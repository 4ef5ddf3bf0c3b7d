/** A format of images, or an archive, that no command reads. */
export interface ForeignFormat {
  readonly name: string
  /** Names of its files; null: only the content shows it. */
  readonly names: RegExp | null
  /** First bytes of its files as Latin-1; null: only the name shows it. */
  readonly start: RegExp | null
  readonly remedy: string
}

const TO_NIFTI = 'convert it to .nii.gz, for example in 3D Slicer or with SimpleITK'

/** `_FORMATS` of freetumor_runtime/data/nifti.py has the same names and starts. */
const FORMATS: readonly ForeignFormat[] = [
  {
    name: 'DICOM',
    names: /\.(dcm|dicom|ima)$/i,
    // with its mark, or without preamble: group 0002 or 0008, then a value representation or a short length
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the bytes of these groups
    start: /^(.{128}DICM|[\x02\x08]\0.[\0-\x10](UI|UL|CS|SH|DA|TM|OB|..\0\0))/s,
    remedy: 'convert the series to NIfTI: `freetumor data convert FOLDER --out scans`',
  },
  { name: 'NRRD', names: /\.(nrrd|nhdr)$/i, start: /^NRRD000/, remedy: TO_NIFTI },
  { name: 'MetaImage', names: /\.(mha|mhd)$/i, start: /^(ObjectType|NDims)\s*=/, remedy: TO_NIFTI },
  { name: 'another format than NIfTI', names: /\.(mgz|mgh|mnc)$/i, start: null, remedy: TO_NIFTI },
  { name: 'HDF5', names: null, start: /^\x89HDF/, remedy: TO_NIFTI },
  { name: 'NumPy', names: null, start: /^\x93NUMPY/, remedy: 'write it as NIfTI with its affine' },
  { name: 'a ZIP archive', names: null, start: /^PK\W\W/, remedy: 'unzip it' },
  {
    name: 'an .img without its .hdr',
    names: /\.img(\.gz)?$/i,
    start: null,
    remedy: 'fetch the .hdr of the same name',
  },
  {
    name: 'NIfTI under another ending',
    names: /[._ -]nii(\W|_|$)(?!.*\.(json|txt|csv|tsv|xml|log|md5|sha\d+|tmp)$)/i,
    start: null,
    remedy: 'decompress or download it again, and name it .nii or .nii.gz',
  },
]

/** Bytes that show a format by content. */
export const FORMAT_BYTES = 132

/** Return the format that a file name has. */
export function formatByName(name: string): ForeignFormat | undefined {
  return FORMATS.find(({ names }) => names?.test(name))
}

/** Return the format that the first bytes of a file have. */
export function formatByContent(bytes: Uint8Array): ForeignFormat | undefined {
  const text = Buffer.from(bytes.subarray(0, FORMAT_BYTES)).toString('latin1')
  return FORMATS.find(({ start }) => start?.test(text))
}
