import { escapeHtml } from './escape-html.js'
import type { MaskPicture, MaskPlane } from './mask-pictures.js'
import { type Outline, type SliceView, sliceRow, VIEW_NOTE, windowText } from './slice-view.js'

/** Names of the two sets of masks. */
export interface MaskNames {
  readonly predicted: string
  readonly against: string
}

/**
 * Return the pictures of cases: the whole slice, then the enlarged part without and with outlines. With a second set of
 * masks, label and both masks have a picture each.
 * @param captions figures of a case in words, by its name
 */
export function maskFigures(
  pictures: readonly MaskPicture[],
  captions: ReadonlyMap<string, string>,
  names: MaskNames,
): string {
  const paired = pictures.some(({ planes }) => planes[0]!.against !== null)
  const keys = [
    '<li class="truth">label</li>',
    `<li class="predicted">${escapeHtml(names.predicted)}</li>`,
    ...(paired ? [`<li class="against">${escapeHtml(names.against)}</li>`] : []),
  ]
  const figures = pictures.map((picture) => caseFigure(picture, captions.get(picture.caseId) ?? '', names))
  return `<ul class="legend outlines">${keys.join('')}</ul><p class="note">${VIEW_NOTE} The dashed square is enlarged.</p><div class="masks">${figures.join('\n')}</div>`
}

function caseFigure(
  { caseId, planes, whole, windowHu }: MaskPicture,
  told: string,
  names: MaskNames,
): string {
  const axial = planes[0]!
  const view = (plane: MaskPlane, title: string, looks: readonly Outline['look'][]): SliceView => ({
    grid: plane,
    gray: plane.image,
    title,
    alt: `${title}, ${plane.name} slice of ${caseId}${looks.length > 0 ? ', tumor outlined' : ''}`,
    outlines: looks.flatMap((look): Outline[] => {
      const mask = look === 'tumor' ? null : plane[look]
      return mask === null ? [] : [{ look, mask }]
    }),
  })
  const all = ['truth', 'predicted', 'against'] as const
  const enlarged =
    axial.against === null
      ? [
          view(axial, 'axial', []),
          ...planes.map((plane) => view(plane, `${plane.name}, label and mask`, all)),
        ]
      : [
          view(axial, 'scan', []),
          view(axial, 'label', ['truth']),
          view(axial, names.predicted, ['predicted']),
          view(axial, names.against, ['against']),
        ]
  const first = whole === null ? [] : [{ ...view(whole, 'whole slice', all), frameMm: whole.frameMm }]
  const parts = [told, windowText(windowHu), windowHu === null ? 'no scan: organs in grey' : '']
  const caption = parts.filter((part) => part !== '').join(' · ')
  return `<figure>${sliceRow([...first, ...enlarged], 'wide')}<figcaption>${escapeHtml(caseId)} <span class="quiet">${escapeHtml(caption)}</span></figcaption></figure>`
}
