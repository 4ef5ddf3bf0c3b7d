/** Definition of each figure, also for a case without a tumor. docs/predict-and-evaluate.md has the same text. */
export const EVALUATION_RULES: readonly (readonly [term: string, text: string])[] = [
  [
    'Dice',
    '2 TP / (2 TP + FP + FN) in voxels. Neither has the label: left out. Only the mask has it: left out, and 0 in profile difftumor. Only the label has it: 0.',
  ],
  [
    'NSD',
    'Share of surface voxels (those with a face neighbour outside) within the tolerance of the other surface, both ways, in mm. Empty sides as for Dice.',
  ],
  [
    'Mean Dice over labels',
    'First over the labels that count in a case, then over cases; a case without any is left out.',
  ],
  [
    'Lesions',
    'Connected components of all tumor labels together: voxels that touch by face, edge or corner. Detected: shares a voxel with predicted tumor. False positive: shares none with true tumor. At an IoU: pairs of one and one, the most alike first.',
  ],
  [
    'Sensitivity, precision, F1',
    'Of the lesions of all cases together. Without a true lesion there is no sensitivity and no F1, without a predicted one no precision; an F1 is 0 when lesions are there and none is found.',
  ],
  [
    'Lesion Dice',
    'Mean over true lesions of the Dice of each with all predicted lesions that touch it; 0 for one that is missed.',
  ],
  [
    'False positives',
    'Volume and number a case, over all cases and over those without a tumor; 0 where nothing is called.',
  ],
  [
    'Patients',
    'Sick: a tumor in the label of any case. Called: any tumor voxel in any mask. Sensitivity over the sick, specificity over the healthy; none without such patients.',
  ],
  [
    'AUC and FROC',
    'By the score of predicted lesions: their highest probability, or their volume where no probabilities are given. A patient has the highest of his lesions, 0 without one.',
  ],
  [
    'Intervals',
    '95 %, percentiles of 2000 resamples of patients; all cases of a patient are drawn together. The seed decides them.',
  ],
]
